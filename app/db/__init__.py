"""How it is stored: tables, one noun a file; session.py holds the only committer."""

from app.db.accounts import ApiKey, Project, User, WebSession
from app.db.artifacts import Artifact
from app.db.audit import AuditEntry
from app.db.base import Base
from app.db.baselines import Baseline
from app.db.checkpoints import CheckpointRow
from app.db.connections import Connection
from app.db.counters import Counter
from app.db.datasets import Dataset, DatasetFile, DatasetVersion, Import, VersionFile
from app.db.downloads import Download
from app.db.events import EventRow
from app.db.goals import GoalRow
from app.db.metrics import MetricChunk, MetricLatest, MetricPoint
from app.db.prices import PriceList
from app.db.queues import QueueRow
from app.db.run_log import LogPiece
from app.db.run_samples import SampleAnswer, SamplePrompt
from app.db.runs import Run
from app.db.webhooks import Webhook, WebhookDelivery
from app.db.workers import WorkerRow

__all__ = [
    "ApiKey", "Artifact", "AuditEntry", "Base", "Baseline", "CheckpointRow", "Connection", "Counter", "Dataset", "DatasetFile",
    "DatasetVersion", "Download", "EventRow", "GoalRow", "Import", "LogPiece", "MetricChunk", "MetricLatest", "MetricPoint", "PriceList",
    "Project", "QueueRow", "Run", "SampleAnswer", "SamplePrompt", "User", "VersionFile", "WebSession", "Webhook", "WebhookDelivery",
    "WorkerRow",
]  # fmt: skip
