"""How it is stored: tables, one noun a file; session.py holds the only committer."""

from app.db.accounts import ApiKey, Project, User, WebSession
from app.db.artifacts import Artifact
from app.db.audit import AuditEntry
from app.db.base import Base
from app.db.checkpoints import CheckpointRow
from app.db.datasets import Dataset, DatasetVersion, Import
from app.db.events import EventRow
from app.db.metrics import MetricChunk, MetricLatest, MetricPoint
from app.db.runs import Run
from app.db.webhooks import Webhook, WebhookDelivery
from app.db.workers import WorkerRow

__all__ = [
    "ApiKey", "Artifact", "AuditEntry", "Base", "CheckpointRow", "Dataset", "DatasetVersion", "EventRow", "Import", "MetricChunk",
    "MetricLatest", "MetricPoint", "Project", "Run", "User", "WebSession", "Webhook", "WebhookDelivery", "WorkerRow",
]  # fmt: skip
