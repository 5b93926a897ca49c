"""Work on datasets as a kind of work: a child fetches, reads, looks at or changes rows; this enters what it made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.db import EventRow, Import
from app.db.base import utc_now
from app.db.datasets import came_to_nothing
from app.db.session import after_commit, reading
from app.domain.errors import Invalid
from app.domain.events import AnyEvent, Finished, Notice, Progress
from app.domain.runs import RunStatus
from app.domain.sources import shown
from workers.child import Child
from workers.curation.child import remove
from workers.dataset_tasks import TASKS, Made, task_of
from workers.outside_keys import hub_keys
from workers.packing import withdraw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from workers.worker import Worker

OUTPUTS = ("rows", "findings", "aside", "mask_map")


class ImportWork:
    """Works on datasets on the cpu queue."""

    table = Import
    queue = "cpu"
    errand = "a dataset"

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        """Have the files here that the child reads; return what starts it."""
        folder = work_folders(worker) / work_id
        folder.mkdir(parents=True, exist_ok=True)
        with reading(worker.engine) as session:
            row = session.get_one(Import, work_id)
            needed = TASKS[task_of(row)].needs(session, row)
        # After the session: to fetch a file may take minutes, and an open read would keep writers waiting.
        given = needed(worker, lambda name: out_file(worker, work_id, token, name))
        spec_file = folder / f"spec-t{token}.json"
        spec_file.write_text(json.dumps(given), encoding="utf-8")
        kind = given["source"]["kind"] if given.get("task") == "fetch" else ""
        command, log_file = ["workers.curation.ingest", str(spec_file)], folder / "log.txt"
        hub = hub_keys(worker, row.project_id) if kind == "hub" else None
        return lambda: Child(command, folder=folder, log_file=log_file, hub=hub, needs_s3=kind == "s3")

    def record(self, session: Session, _worker: Worker, row: Import, events: Sequence[AnyEvent]) -> None:
        """Note how far the child is."""
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

    def package(self, worker: Worker, work_id: str, token: int, finished: Finished | None) -> Made | None:
        """Seal the files that the child has made."""
        if finished is None:
            return None
        there = {name: file for name in OUTPUTS if (file := out_file(worker, work_id, token, name)).is_file()}
        fetched = [worker.storage.incoming / each["path"] for each in finished.data.get("fetched", [])]
        return Made(
            finished.data, finished.reason, {name: worker.storage.seal(file) for name, file in there.items()},
            [worker.storage.seal(file) for file in fetched],
        )  # fmt: skip

    def keep(self, session: Session, worker: Worker, row: Import, package: Made) -> None:
        """Enter what was made."""
        row.done_bytes = row.total_bytes
        TASKS[task_of(row)].keep(session, worker, row, package)
        _forget_address(row)
        _clean_up(session, worker, row.id, log_too=True)

    def discard(self, worker: Worker, package: Made) -> None:
        """Leave nothing in the store unless it was kept; here they are the child's own files, and entering them may be tried again."""
        for sealed in [*package.files.values(), *package.fetched]:
            withdraw(worker, sealed)

    def ended(self, session: Session, worker: Worker, row: Import) -> None:
        """Tell the dataset that work on it came to nothing."""
        if row.status in {RunStatus.FAILED, RunStatus.CANCELLED}:
            came_to_nothing(session, row, worker.storage)
            _forget_address(row)
            _clean_up(session, worker, row.id, log_too=row.status == RunStatus.CANCELLED)


def out_file(worker: Worker, work_id: str, token: int, name: str) -> Path:
    """Return where an attempt's child writes one of its files.

    In the store's own file system, so that keeping it is a rename; of this attempt alone, since file systems know no fence.
    """
    if "/" in name:
        raise Invalid(f"{name!r} is no name of a file.")
    return worker.storage.incoming / f"import-{work_id}-t{token}.{name}"


def _forget_address(row: Import) -> None:
    """Keep of an address from outside only what may be shown: behind its question mark may stand a key."""
    url = row.task.get("source", {}).get("url")
    if url:
        row.task = row.task | {"source": row.task["source"] | {"url": shown(url)}}


def work_folders(worker: Worker) -> Path:
    """Return where the folders of pieces of work are, each named by its id."""
    return worker.settings.home.resolve() / "imports"


def _clean_up(session: Session, worker: Worker, work_id: str, *, log_too: bool) -> None:
    def clean() -> None:
        folder = work_folders(worker) / work_id
        remove([folder] if log_too else folder.glob("spec-t*"))
        remove(worker.storage.incoming.glob(f"import-{work_id}-*"))

    after_commit(session, clean)
