"""Whether everything that rows speak of is there and whole, and what lies there that no row speaks of. Works while the studio does."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import Artifact, CheckpointRow, Run
from app.db.session import reading
from app.domain.checkpoints import CheckpointBroken, verify

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import ColumnElement, Engine

    from app.domain.ports import Storage

SETTLED_SECONDS = 3600.0
"""What is younger may still be about to get its row."""


@dataclass
class Findings:
    """How much was looked at, what is wrong with it, what may lie on another machine, and what could go; each in words."""

    files: int = 0
    checkpoints: int = 0
    damaged: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def look_through(engine: Engine, storage: Storage, runs: Path) -> Findings:
    """Read every file of the store and every checkpoint of this machine."""
    found = Findings()
    # Before the rows: a file comes before its row, and leaves after it.
    there = [blob for blob in storage.blobs() if time.time() - blob.since > SETTLED_SECONDS]
    _look_at_files(engine, storage, found)
    _look_at_checkpoints(engine, runs, found)
    with reading(engine) as session:
        known = set(session.scalars(select(Artifact.sha256)))
        run_ids = set(session.scalars(select(Run.id)))
    found.unknown += [f"The file {blob.sha256} ({blob.size_bytes:,} bytes) of the store." for blob in there if blob.sha256 not in known]
    folders = [path for path in runs.iterdir() if path.is_dir()] if runs.is_dir() else []
    found.unknown += [f"The run folder {path}." for path in folders if path.name not in run_ids and _is_settled(path)]
    return found


def _look_at_files(engine: Engine, storage: Storage, found: Findings) -> None:
    with reading(engine) as session:
        rows = {row.sha256: row for row in session.scalars(select(Artifact))}
    for sha256, row in sorted(rows.items()):
        found.files += 1
        wrong = _wrong_with(storage, row)
        if wrong and _still(engine, Artifact.sha256 == sha256):
            found.damaged.append(f"The file {sha256} ({row.kind}, {row.filename}) {wrong}. Restore it from a backup.")


def _wrong_with(storage: Storage, row: Artifact) -> str:
    """Return what is wrong with a file, or nothing."""
    try:
        whole = storage.measure(row.sha256)
    except OSError as error:  # of this file: where a whole store is away, that is told in its place
        return f"cannot be read ({error.strerror})"
    if whole is None:
        return "is not in the store"
    return "" if whole == (row.sha256, row.size_bytes) else "is damaged in the store"


def _look_at_checkpoints(engine: Engine, runs: Path, found: Findings) -> None:
    with reading(engine) as session:
        rows = session.scalars(select(CheckpointRow).where(CheckpointRow.state == "good")).all()
    for row in rows:
        folder = runs / row.run_id / row.path
        what = f"The checkpoint of step {row.step} of run {row.run_id}"
        if not folder.is_dir():
            if row.artifact_id is None and _still(engine, (CheckpointRow.id == row.id) & (CheckpointRow.state == "good")):
                found.absent.append(f"{what} does not lie on this machine.")
            continue  # what lies in the store is fetched when it is needed
        found.checkpoints += 1
        try:
            verify(folder)
        except (CheckpointBroken, OSError) as error:
            if _still(engine, (CheckpointRow.id == row.id) & (CheckpointRow.state == "good")):
                found.damaged.append(f"{what} is broken: {error} An older one will be used.")


def _still(engine: Engine, condition: ColumnElement[bool]) -> bool:
    """Return whether a row is still as it was: what was deleted meanwhile is not missing."""
    with reading(engine) as session:
        return bool(session.scalar(select(condition).where(condition).limit(1)))


def _is_settled(path: Path) -> bool:
    with suppress(FileNotFoundError):  # removed meanwhile
        return time.time() - path.stat().st_mtime > SETTLED_SECONDS
    return False
