"""Remove what deleting has left behind: after a crash at the wrong moment, or on another machine than the one that deleted.

Only the audit says that something was deleted. What merely is not in the database stays: the database may be the wrong one. The
exception is what attempts have left half done, or nobody came to enter, that this database knows, and knows to be over; and what has come
of a base model that no download wants any more, which can be fetched again.
"""

from __future__ import annotations

import re
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import delete, select

from app.db import AuditEntry, Baseline, CheckpointRow, Download, Import, Run
from app.db.artifacts import remove_now
from app.db.audit import CHECKPOINTS_DELETED, DATASET_DELETED, FILE_LEFT, RUN_DELETED
from app.db.checkpoints import GONE
from app.db.session import reading, unit_of_work
from app.domain.errors import StorageUnavailable
from app.domain.runs import ENDED, LEASED, RunStatus, token_in
from app.gateways.fetched_bases import FetchedBases
from workers.baseline_work import baseline_folders
from workers.curation.child import remove
from workers.download_work import download_folders
from workers.import_work import work_folders

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from workers.worker import Worker

log = structlog.get_logger()
LEFTOVER_SECONDS = 24 * 3600.0
LOG_SECONDS = 30 * 24 * 3600.0
OLD_LEASES = 10
OF_ATTEMPTS = ("checkpoints/[0-9]*-t*", "checkpoints/.staging/*-t*", "adapter-t*", ".adapter-t*")
"""What an attempt makes in its run's folder."""
PACKED = re.compile(r"(checkpoint|adapter)-(?P<run>[0-9a-f-]{36})-t\d")
"""What an attempt makes before the store's door."""
LEAVE_FILES = (RUN_DELETED, CHECKPOINTS_DELETED)
BATCH = 500
"""How many folders one question to the database is about."""


def clear_leftovers(worker: Worker) -> None:
    """Remove what was deleted or cut off and still lies on this machine, and what was deleted and still lies in the store."""
    clear_deleted(worker)
    _clear_blobs(worker)


def clear_deleted(worker: Worker) -> None:
    """Remove the folders of deleted runs, deleted checkpoints, and what never became real, that still lie on this machine."""
    _clear_incoming(worker)
    _clear_logs(worker)
    _clear_parts(worker)
    for batch in _batches(worker.settings.runs):
        named = {folder.name: folder for folder in batch}
        for path in [*_deleted(worker, named), *_never_entered(worker, named)]:
            log.info("what was deleted was removed", path=f"{path.parent.name}/{path.name}")
            shutil.rmtree(path, ignore_errors=True)


def _clear_incoming(worker: Worker) -> None:
    """Remove what was cut off before the store's door: of attempts soon after they are over, of uploads and imports a day later."""
    packed = {path: PACKED.match(path.name) for path in worker.storage.incoming.iterdir()}
    over = _over(worker, {found["run"] for found in packed.values() if found})
    for path, found in packed.items():
        is_over = found is not None and token_in(path.name) <= over.get(found["run"], 0) and _is_old(worker, path)
        # Gone meanwhile: another worker of this machine clears as well, and what is uploaded just now moves on.
        with suppress(FileNotFoundError):
            if is_over or _age(path) > LEFTOVER_SECONDS:
                remove([path])
                log.info("a leftover was removed", file=path.name)


def _clear_logs(worker: Worker) -> None:
    """Remove what other work than runs has left for somebody to look at when it failed, a month later."""
    places: dict[type[Import | Baseline | Download], Path] = {
        Import: work_folders(worker), Baseline: baseline_folders(worker), Download: download_folders(worker)
    }  # fmt: skip
    for table, place in places.items():
        for batch in _batches(place):
            old = {folder.name: folder for folder in batch if _age(folder) > LOG_SECONDS}
            with reading(worker.engine) as session:
                ended = list(session.scalars(select(table.id).where(table.id.in_(old), table.status.in_(ENDED))))
            remove([old[name] for name in ended])


def _clear_parts(worker: Worker) -> None:
    """Remove what came of base models that were called off or forgotten, a day later; what failed stays while it is listed."""
    with reading(worker.engine) as session:
        listed = select(Download.repo, Download.revision).where(Download.status != RunStatus.CANCELLED, Download.revision.is_not(None))
        wanted = [(row.repo, row.revision or "") for row in session.execute(listed.distinct())]
    for path in FetchedBases(worker.settings.fetched_bases).left_over(wanted, LEFTOVER_SECONDS):
        remove([path])
        log.info("a leftover was removed", file=path.name)


def _over(worker: Worker, run_ids: Collection[str]) -> dict[str, int]:
    """Return of each run that there is the token of the last attempt that is over."""
    with reading(worker.engine) as session:
        runs = session.execute(select(Run.id, Run.status, Run.lease_token).where(Run.id.in_(run_ids)))
        return {run.id: run.lease_token - (run.status in LEASED) for run in runs}


def _never_entered(worker: Worker, folders: dict[str, Path]) -> Iterator[Path]:
    """Yield what attempts that are over have left half done, and checkpoints of theirs without a row."""
    with reading(worker.engine) as session:
        rows = select(CheckpointRow.run_id, CheckpointRow.path).where(CheckpointRow.run_id.in_(folders), CheckpointRow.state != GONE)
        entered = {(row.run_id, row.path) for row in session.execute(rows)}
    for run_id, over in _over(worker, folders).items():
        folder = folders[run_id]
        for path in (path for pattern in OF_ATTEMPTS for path in folder.glob(pattern)):
            is_over = 0 < token_in(path.name) <= over
            if is_over and (run_id, str(path.relative_to(folder))) not in entered and _is_old(worker, path):
                yield path
        # Whose they are is not said; to fetch one takes no day.
        yield from (path for path in folder.glob("checkpoints/.fetched-*") if _age(path) > LEFTOVER_SECONDS)


def _age(path: Path) -> float:
    """Return since how many seconds a file is as it is; one that is gone is new."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_old(worker: Worker, path: Path) -> bool:
    """Return whether even a worker that slept through its lease will not come back to a file."""
    return _age(path) > OLD_LEASES * worker.lease_seconds


def _batches(place: Path) -> Iterator[list[Path]]:
    found = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    for first in range(0, len(found), BATCH):
        yield found[first : first + BATCH]


def _deleted(worker: Worker, folders: dict[str, Path]) -> list[Path]:
    acts = select(AuditEntry.subject, AuditEntry.action).where(AuditEntry.subject.in_(folders))
    with reading(worker.engine) as session:
        found = [(str(subject), action) for subject, action in session.execute(acts.where(AuditEntry.action.in_(LEAVE_FILES)))]
        runs = {run.id: run for run in session.scalars(select(Run).where(Run.id.in_([subject for subject, _ in found])))}
        in_use = set(session.scalars(select(CheckpointRow.run_id).where(CheckpointRow.run_id.in_(runs), CheckpointRow.state == "good")))
    gone = [folders[subject] for subject, action in found if action == RUN_DELETED and subject not in runs]
    ended = {run_id for run_id, run in runs.items() if run.status in ENDED} - in_use
    emptied = {folders[subject] / "checkpoints" for subject, action in found if action == CHECKPOINTS_DELETED and subject in ended}
    return gone + [path for path in emptied if path.is_dir()]


def _clear_blobs(worker: Worker) -> None:
    """Remove the blobs that were let go of, and that no row names any more."""
    with reading(worker.engine) as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action.in_((RUN_DELETED, DATASET_DELETED, FILE_LEFT)))).all()
    deleted = {sha256 for entry in entries for sha256 in entry.details.get("blobs", [])}
    try:
        # One listing: to ask a remote store for each of them could take minutes.
        for sha256 in deleted & {blob.sha256 for blob in worker.storage.blobs()} if deleted else ():
            remove_now(worker.engine, worker.storage, sha256)
    except (StorageUnavailable, OSError) as error:
        log.warning("what was deleted is removed from the store later", why=str(error))
        return
    done = [entry.id for entry in entries if entry.action == FILE_LEFT]
    if done:
        with unit_of_work(worker.engine) as session:
            session.execute(delete(AuditEntry).where(AuditEntry.id.in_(done)))
