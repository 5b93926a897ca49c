"""Checkpoints of a run as rows: only a row makes a folder a checkpoint, whatever its name says."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, select, update

from app.db import CheckpointRow, Run
from app.db.artifacts import keep
from app.db.checkpoints import GONE, let_go, still_there
from app.db.leases import holding
from app.db.session import after_commit, reading, unit_of_work
from app.domain.checkpoints import CheckpointBroken, verify
from app.domain.errors import StorageUnavailable
from app.domain.runs import ENDED
from workers.packing import PackedCheckpoint, discard, fetch
from workers.training.room import fits, ran_out

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from app.db.artifacts import Artifact
    from app.domain.events import Checkpoint
    from workers.worker import Worker

log = structlog.get_logger()
KEPT_CHECKPOINTS = 2
CHECKPOINT = "checkpoint"
"""What the store calls a packed one."""


@dataclass(frozen=True)
class GoodCheckpoint:
    """A checkpoint whose manifest verified."""

    folder: Path
    step: int


def run_folder(worker: Worker, run_id: str) -> Path:
    """Return the folder a run works in."""
    return worker.settings.runs / run_id


def bytes_in(folder: Path, *, beside: frozenset[str] = frozenset()) -> int:
    """Return what the files of a folder hold, all the way down; `beside` names parts of it that do not count."""
    total = 0
    with suppress(FileNotFoundError):  # it may be the trainer's, which goes on writing and removing
        for path in folder.iterdir():
            if path.name not in beside and not path.is_symlink():
                total += bytes_in(path) if path.is_dir() else path.stat().st_size
    return total


def work_bytes(folder: Path) -> int:
    """Return what a run's folder holds beside its checkpoints, which have rows, and its adapter, which moves into the store."""
    return bytes_in(folder, beside=frozenset({"checkpoints", *(path.name for path in folder.glob("adapter*"))}))


def count_work(worker: Worker, run: Run) -> None:
    """Write down what a run's folder holds; one that lies on another machine was counted there."""
    folder = run_folder(worker, run.id)
    if folder.is_dir():
        run.work_bytes = work_bytes(folder)


def count_uncounted(worker: Worker) -> None:
    """Count what runs hold that ended before it was counted, as far as it lies on this machine."""
    checkpoints = select(CheckpointRow).where(CheckpointRow.size_bytes == 0, CheckpointRow.state != GONE)
    with reading(worker.engine) as session:
        rows = session.scalars(checkpoints).all()
        ended = session.scalars(select(Run.id).where(Run.work_bytes == 0, Run.status.in_(ENDED))).all()
    # After the session: a disk may be slow, and an open read would keep writers waiting.
    found = {row.id: bytes_in(run_folder(worker, row.run_id) / row.path) for row in rows}
    work = {run_id: work_bytes(run_folder(worker, run_id)) for run_id in ended}
    with unit_of_work(worker.engine) as session:
        for row_id, size in found.items():
            session.execute(update(CheckpointRow).where(CheckpointRow.id == row_id).values(size_bytes=size))
        for run_id, size in work.items():
            if size:
                session.execute(update(Run).where(Run.id == run_id).values(work_bytes=size))


def newest_good_checkpoint(worker: Worker, run_id: str, token: int) -> GoodCheckpoint | None:
    """Return the newest checkpoint that verifies, from the store if need be; a broken one is marked so and the next older is tried.

    One that lies on another machine alone, or cannot be read just now, is passed over and may count again later. The lease is held.
    """
    newest = _good(run_id).order_by(CheckpointRow.step.desc(), CheckpointRow.lease_token.desc())
    with reading(worker.engine) as session:
        rows = [(row, row.artifact) for row in session.scalars(newest)]
    for row, packed in rows:
        folder = run_folder(worker, run_id) / row.path
        try:
            return GoodCheckpoint(folder, _verified(worker, folder, packed))
        except CheckpointBroken as error:
            log.warning("a checkpoint is broken", run=run_id, path=row.path, why=str(error))
            _pass_over(worker, run_id, row, token, state="corrupt")
        except OSError as error:
            if ran_out(error):  # of the disk that it was to be unpacked to: an older one would fare no better
                raise
            # The disk may answer again later; until then an older one will do.
            log.warning("a checkpoint cannot be read", run=run_id, path=row.path, why=str(error))
            _pass_over(worker, run_id, row, token, state=row.state)
    return None


def _verified(worker: Worker, folder: Path, packed: Artifact | None) -> int:
    """Return the step of a whole checkpoint; one that is missing or broken here may be whole in the store."""
    if packed is None and not folder.is_dir():
        message = f"{folder} lies on another machine, or was removed."
        raise FileNotFoundError(message)
    try:
        return verify(folder).step
    except CheckpointBroken:
        if packed is None or not fetch(worker, packed.sha256, folder):
            raise
        return verify(folder).step


def _good(run_id: str) -> Select[CheckpointRow]:
    return select(CheckpointRow).where(CheckpointRow.run_id == run_id, CheckpointRow.state == "good")


def _pass_over(worker: Worker, run_id: str, row: CheckpointRow, token: int, *, state: str) -> None:
    with holding(worker.engine, Run, run_id, token) as (session, run):
        session.get_one(CheckpointRow, row.id).state = state
        older = (CheckpointRow.run_id == run_id, CheckpointRow.state == "good", CheckpointRow.step < row.step)
        # New checkpoints count from here, or those before the step of this one would be thought old.
        run.checkpoint_step = session.scalar(select(func.max(CheckpointRow.step)).where(*older)) or 0


def enter_checkpoint(session: Session, worker: Worker, run: Run, event: Checkpoint) -> bool:
    """Make a checkpoint real, and let older ones go: all but one, or all where the disk has no room for a third; False when it is old.

    False, too, when it was entered before: the answer to that commit was lost, and the writer tries again.
    """
    if event.path != f"checkpoints/{event.step}-t{run.lease_token}":  # what a row names is removed one day, so no child names it freely
        log.warning("a child reported a checkpoint where none belongs", run=run.id, path=event.path)
        return False
    if event.step < run.checkpoint_step or session.scalar(_named(run, event)):
        return False
    row = CheckpointRow(
        run_id=run.id, project_id=run.project_id, step=event.step, lease_token=run.lease_token, path=event.path,
        size_bytes=bytes_in(run_folder(worker, run.id) / event.path),
    )  # fmt: skip
    session.add(row)
    count_work(worker, run)
    run.checkpoint_step, run.crashes_since_progress = event.step, 0
    session.flush()
    drop_checkpoints(session, worker, run, keep=KEPT_CHECKPOINTS if fits(worker.settings.runs, row.size_bytes) else 1)
    return True


def enter_packed(session: Session, worker: Worker, run: Run, event: PackedCheckpoint) -> None:
    """Note that the store has a checkpoint, in place of the one it had.

    One that newer ones displaced here while it was on its way counts again, or with a slow store no machine but this one had any.
    """
    row = session.scalar(_named(run, event))
    if row is None or row.state == "corrupt":
        after_commit(session, partial(discard, worker, event.packed))
        return
    if row.artifact_id:  # entered already: the answer to that commit was lost
        return
    try:
        row.artifact = keep(session, worker.storage, event.packed, kind=CHECKPOINT, filename=event.packed.path.name, owner=run)
    except StorageUnavailable as error:
        log.warning("a checkpoint counts as it lies here", run=run.id, path=event.path, why=error.message)
        after_commit(session, partial(discard, worker, event.packed))
        return
    row.state, row.size_bytes = "good", bytes_in(run_folder(worker, run.id) / row.path)
    session.flush()
    drop_checkpoints(session, worker, run, keep=KEPT_CHECKPOINTS)


def _named(run: Run, event: Checkpoint) -> Select[CheckpointRow]:
    return select(CheckpointRow).where(CheckpointRow.run_id == run.id, CheckpointRow.path == event.path)


def drop_checkpoints(session: Session, worker: Worker, run: Run, *, keep: int) -> None:
    """Let all but the newest `keep` checkpoints go; the newest of those in the store stays there, since no other machine has the rest.

    An attempt's own come before those of earlier ones, which may lie elsewhere, or be such as cannot be read.
    """
    # Where only one may stay it is none that was passed over.
    usable = [CheckpointRow.step > run.checkpoint_step] if keep == 1 else []
    newest = still_there(run.id).order_by(*usable, CheckpointRow.lease_token.desc(), CheckpointRow.step.desc())
    rows = session.scalars(newest).all()
    good = [row for row in rows if row.state == "good"]
    packed = next((row for row in good if row.artifact_id), None) if keep else None
    displaced = [row for row in rows if row not in good[:keep]]  # broken ones, too
    let_go(session, [row for row in displaced if row is not packed], worker.storage)
    if packed and packed in displaced:
        packed.size_bytes = 0
    for row in displaced:
        after_commit(session, partial(shutil.rmtree, run_folder(worker, run.id) / row.path, ignore_errors=True))
    if not keep:
        run.checkpoint_step = 0
