"""Imports as a kind of work: the child reads an upload, this enters what it found."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from app.db import DatasetVersion, EventRow, Import
from app.db.artifacts import drop, keep
from app.db.base import utc_now
from app.db.session import after_commit, reading
from app.domain.datasets import DatasetStatus, ImportReport
from app.domain.events import AnyEvent, Finished, Notice, Progress
from app.domain.ports import Sealed
from app.domain.runs import RunStatus
from workers.child import Child
from workers.packing import withdraw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from workers.worker import Worker


@dataclass(frozen=True)
class Imported:
    """What an import found; its rows wait to be moved into the store."""

    report: ImportReport
    reason: str
    rows: Sealed | None


class ImportWork:
    """Reads uploads on the cpu queue."""

    table = Import
    queue = "cpu"

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        """Have the upload here; return what starts its reading."""
        folder = _folder(worker, work_id)
        folder.mkdir(parents=True, exist_ok=True)
        with reading(worker.engine) as session:
            dataset = session.get_one(Import, work_id).dataset
            upload = dataset.upload
        # After the session: to fetch a file may take minutes, and an open read would keep writers waiting.
        spec = {
            "source": str(worker.storage.path(upload.sha256)) if upload else "", "filename": dataset.filename,
            "out": str(_rows_file(worker, work_id, token)), "mapping": dataset.mapping, "system": dataset.system,
        }  # fmt: skip
        spec_file = folder / f"spec-t{token}.json"
        spec_file.write_text(json.dumps(spec), encoding="utf-8")
        return lambda: Child(["workers.curation.ingest", str(spec_file)], folder=folder, log_file=folder / "log.txt")

    def record(self, session: Session, _worker: Worker, row: Import, events: Sequence[AnyEvent]) -> None:
        """Note how far the reading is."""
        if row.status == RunStatus.STARTING:
            row.move_to(RunStatus.RUNNING)
            row.started_at = utc_now()
        for event in events:
            if isinstance(event, Progress):
                row.done_bytes, row.total_bytes, row.rows_read = event.done, event.total, event.rows
            elif isinstance(event, Notice):
                session.add(
                    EventRow(project_id=row.project_id, subject_id=row.dataset_id, type="notice", message=event.message, data=event.data)
                )

    def package(self, worker: Worker, work_id: str, token: int, finished: Finished | None) -> Imported | None:
        """Seal the rows."""
        if finished is None:
            return None
        report = ImportReport.model_validate(finished.data)
        is_ready = report.status == DatasetStatus.READY
        return Imported(report, finished.reason, worker.storage.seal(_rows_file(worker, work_id, token)) if is_ready else None)

    def keep(self, session: Session, worker: Worker, row: Import, package: Imported) -> None:
        """Enter the report, and the rows as the dataset's version; an older version that no run froze makes room."""
        report, dataset = package.report, row.dataset
        dataset.report = report.model_dump(mode="json")
        dataset.status, dataset.reason, dataset.format = report.status, package.reason[:2000], report.format
        row.done_bytes, row.rows_read = row.total_bytes, report.rows
        earlier = session.get(DatasetVersion, dataset.version_id) if dataset.version_id else None
        dataset.version_id = _add_version(session, worker, row, package) if package.rows else None
        if earlier and earlier.frozen_at is None:
            _drop_version(session, worker, earlier)
        if report.status == DatasetStatus.FAILED and dataset.mapping is None and dataset.upload:
            # A table fails only once it is mapped, and may be mapped better; of anything else nothing is kept but the report.
            upload, dataset.upload = dataset.upload, None
            session.flush()
            drop(session, upload, worker.storage)
        _tell(session, row, package)
        _clean_up(session, worker, row.id, log_too=True)

    def discard(self, worker: Worker, package: Imported) -> None:
        """Leave no rows in the store unless they were kept; here they are the child's own file, and entering them may be tried again."""
        if package.rows:
            withdraw(worker, package.rows)

    def ended(self, session: Session, worker: Worker, row: Import) -> None:
        """Tell the dataset that its reading came to nothing."""
        if row.status == RunStatus.FAILED:
            row.dataset.status, row.dataset.reason = DatasetStatus.FAILED, row.reason
        if row.status in {RunStatus.FAILED, RunStatus.CANCELLED}:
            _clean_up(session, worker, row.id, log_too=row.status == RunStatus.CANCELLED)


def _tell(session: Session, row: Import, package: Imported) -> None:
    report = package.report
    words = {DatasetStatus.READY: f"{report.rows:,} rows were read.", DatasetStatus.NEEDS_MAPPING: "Columns want to be mapped."}
    for kind, message in [(str(report.status), words.get(report.status, package.reason)), *(("notice", note) for note in report.notes)]:
        session.add(EventRow(project_id=row.project_id, subject_id=row.dataset_id, type=kind, message=message))


def _add_version(session: Session, worker: Worker, row: Import, package: Imported) -> str:
    report = package.report
    assert package.rows  # noqa: S101 - for the type checker: the caller has looked
    artifact = keep(session, worker.storage, package.rows, kind="rows", filename=f"{row.dataset_id}.parquet", owner=row)
    newest = session.scalar(select(func.max(DatasetVersion.number)).where(DatasetVersion.dataset_id == row.dataset_id)) or 0
    version = DatasetVersion(
        project_id=row.project_id, created_by=row.created_by, dataset_id=row.dataset_id, number=newest + 1, artifact=artifact,
        rows=report.rows, train_rows=report.train_rows, test_rows=report.test_rows,
    )  # fmt: skip
    session.add(version)
    session.flush()
    return version.id


def _drop_version(session: Session, worker: Worker, version: DatasetVersion) -> None:
    artifact = version.artifact
    session.delete(version)
    session.flush()
    drop(session, artifact, worker.storage)


def _folder(worker: Worker, work_id: str) -> Path:
    return worker.settings.home.resolve() / "imports" / work_id


def _rows_file(worker: Worker, work_id: str, token: int) -> Path:
    # In the store's own file system, so that keeping it is a rename; of this attempt alone, since file systems know no fence.
    return worker.storage.incoming / f"import-{work_id}-t{token}.parquet"


def _clean_up(session: Session, worker: Worker, work_id: str, *, log_too: bool) -> None:
    def remove() -> None:
        if log_too:
            shutil.rmtree(_folder(worker, work_id), ignore_errors=True)
        for left in worker.storage.incoming.glob(f"import-{work_id}-*"):
            left.unlink(missing_ok=True)

    after_commit(session, remove)
