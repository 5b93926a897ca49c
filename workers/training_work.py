"""Training runs as a kind of work: the spec a trainer gets, what its reports mean, and the adapter that is kept."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from sqlalchemy import select

from app.config import PROJECT_ROOT
from app.db import Artifact, CheckpointRow, EventRow, Project, Run, metrics
from app.db.base import utc_now
from app.db.session import after_commit, reading, unit_of_work
from app.domain.cards import render_card
from app.domain.events import AnyEvent, Checkpoint, Finished, Metric, Notice, Started
from app.domain.runs import RunStatus
from app.domain.specs import STARTER
from app.gateways.model_folders import ModelFolders
from app.services.runs import model_name
from workers.child import Child
from workers.lineage import card_of
from workers.training.checkpoints import CheckpointBroken, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from workers.worker import Worker

KEPT_CHECKPOINTS = 2
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")


@dataclass(frozen=True)
class PackedAdapter:
    """An adapter.zip in the store."""

    sha256: str
    size_bytes: int


class TrainingWork:
    """Trains on the gpu queue."""

    table = Run
    queue = "gpu"

    def start(self, worker: Worker, work_id: str, token: int) -> Child:
        """Write the spec and start the trainer, from the newest whole checkpoint if there is one."""
        folder = run_folder(worker, work_id)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "adapter", ignore_errors=True)
        with reading(worker.engine) as session:
            run = session.get_one(Run, work_id)
            spec = dict(run.spec) | {"dataset": str(worker.storage.path(run.version.artifact.sha256))}
            if run.eval_version:
                spec["eval_dataset"] = str(worker.storage.path(run.eval_version.artifact.sha256))
            base = _bases(worker).find(run.base_model)
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        arguments = ["workers.train", str(folder / "spec.yaml"), "--out", str(folder), "--lease-token", str(token)]
        if base.folder:
            arguments += ["--base-dir", str(base.folder)]
        checkpoint = newest_good_checkpoint(worker, work_id)
        if checkpoint:
            arguments += ["--resume", str(checkpoint)]
        return Child(arguments, folder=folder, log_file=folder / "log.txt")

    def record(self, session: Session, worker: Worker, row: Run, events: Sequence[AnyEvent]) -> None:
        """Write what the trainer reported."""
        for event in events:
            if isinstance(event, Started):
                _record_start(session, row, event)
            elif isinstance(event, Metric) and event.name == "train/loss":
                row.step = event.step
            elif isinstance(event, Checkpoint):
                _record_checkpoint(session, run_folder(worker, row.id), row, event)
            elif isinstance(event, Notice):
                _tell(session, row, "notice", event.message)
        points = [metrics.Point(e.step, e.name, e.value) for e in events if isinstance(e, Metric)]
        if points:
            metrics.append(session, row.id, row.lease_token, points)

    def package(self, worker: Worker, work_id: str, finished: Finished | None) -> PackedAdapter | None:
        """Zip the adapter with its card into the store; of a lost worker the newest checkpoint's; None when there is neither."""
        folder = run_folder(worker, work_id)
        adapter = folder / "adapter"
        if finished is None or not (adapter / ADAPTER_FILES[0]).is_file():
            checkpoint = newest_good_checkpoint(worker, work_id)
            if checkpoint is None or not all((checkpoint / name).is_file() for name in ADAPTER_FILES):
                return None
            adapter = checkpoint
        with reading(worker.engine) as session:
            card = render_card(card_of(session, session.get_one(Run, work_id), adapter))
        packed = worker.storage.incoming / f"adapter-{work_id}.zip"
        pack_adapter(adapter, card, packed)
        return PackedAdapter(*worker.storage.put(packed))

    def keep(self, session: Session, row: Run, package: PackedAdapter) -> None:
        """Enter the adapter and give the model its name."""
        project = session.get_one(Project, row.project_id)
        row.model = row.model or model_name(row, project.name)
        row.adapter = Artifact(
            project_id=row.project_id, created_by=row.created_by, kind="adapter", filename=f"{row.model.replace(':', '_')}.zip",
            sha256=package.sha256, size_bytes=package.size_bytes,
        )  # fmt: skip

    def ended(self, session: Session, worker: Worker, row: Run) -> None:
        """Keep the checkpoints of what may go on; drop those of what was cancelled."""
        if row.status == RunStatus.CANCELLED:
            folder = run_folder(worker, row.id)
            after_commit(session, lambda: shutil.rmtree(folder / "checkpoints", ignore_errors=True))


def run_folder(worker: Worker, run_id: str) -> Path:
    """Return the folder a run works in."""
    return worker.settings.runs / run_id


def _bases(worker: Worker) -> ModelFolders:
    settings = worker.settings
    return ModelFolders(PROJECT_ROOT / "models" / STARTER, settings.model_folders, only_under=not settings.is_loopback)


def newest_good_checkpoint(worker: Worker, run_id: str) -> Path | None:
    """Return the newest checkpoint whose manifest verifies; one that does not is marked corrupt and the next older is tried.

    Only a row makes a checkpoint real, never a folder's name.
    """
    good = (CheckpointRow.run_id == run_id, CheckpointRow.state == "good")
    newest = select(CheckpointRow).where(*good).order_by(CheckpointRow.step.desc(), CheckpointRow.lease_token.desc())
    with reading(worker.engine) as session:
        rows = session.scalars(newest).all()
    for row in rows:
        folder = run_folder(worker, run_id) / row.path
        try:
            verify(folder)
        except (CheckpointBroken, OSError):
            with unit_of_work(worker.engine) as session:
                session.get_one(CheckpointRow, row.id).state = "corrupt"
            continue
        return folder
    return None


def pack_adapter(folder: Path, card: str, target: Path) -> None:
    """Write adapter.zip: the adapter's files and the card at the top level, the same bytes for the same content."""
    files = {name: (folder / name).read_bytes() for name in ADAPTER_FILES} | {"README.md": card.encode()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


def _tell(session: Session, run: Run, kind: str, message: str, **data: int) -> None:
    session.add(EventRow(project_id=run.project_id, subject_id=run.id, type=kind, message=message, data=data, lease_token=run.lease_token))


def _record_start(session: Session, run: Run, event: Started) -> None:
    if run.status == RunStatus.STARTING:
        run.move_to(RunStatus.RUNNING)
    run.started_at = run.started_at or utc_now()
    run.facts, run.step = event.data, event.step
    run.total_steps = event.total_steps or run.total_steps
    # What only the base decides (a Hub model's learning rate) is known now.
    run.spec = run.spec | {"settings": event.data.get("settings", run.spec.get("settings"))}
    _tell(session, run, "started", event.message, step=event.step)


def _record_checkpoint(session: Session, folder: Path, run: Run, event: Checkpoint) -> None:
    """Make a checkpoint real, and let those beyond the newest two go."""
    if event.step < run.checkpoint_step:
        return
    session.add(CheckpointRow(run_id=run.id, project_id=run.project_id, step=event.step, lease_token=run.lease_token, path=event.path))
    run.checkpoint_step, run.crashes_since_progress = event.step, 0
    session.flush()
    _tell(session, run, "checkpoint", f"Checkpoint at step {event.step}.")
    newest = select(CheckpointRow).where(CheckpointRow.run_id == run.id, CheckpointRow.state == "good")
    for old in session.scalars(newest.order_by(CheckpointRow.step.desc(), CheckpointRow.lease_token.desc()).offset(KEPT_CHECKPOINTS)):
        old.state = "removed"
        after_commit(session, partial(shutil.rmtree, folder / old.path, ignore_errors=True))
