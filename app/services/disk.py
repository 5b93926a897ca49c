"""What everything holds on disk, added up from rows, so that no folder is walked for a page; and how much room is left."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from app.db import Artifact, CheckpointRow, Dataset, Run
from app.db.checkpoints import GONE
from app.services.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity

LEAST_FREE_BYTES, LEAST_FREE_SHARE = 100 * 2**20, 0.05
"""Below this a disk counts as full: enough for the database to commit and for a small checkpoint. On a small disk the share decides."""
PATIENCE_SECONDS = 0.3
"""Whoever draws a page waits no longer for a disk that does not answer, and tells nothing of it."""
OF_RUNS, OF_DATASETS = ("adapter", "checkpoint"), ("upload", "rows", "findings", "aside", "mask_map")


@dataclass(frozen=True)
class RunSize:
    """What one run holds: its packed adapter, its checkpoints, and its log with the little files beside it."""

    adapter: int = 0
    checkpoints: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.adapter + self.checkpoints + self.other


@dataclass(frozen=True)
class DiskUse:
    """What a project holds."""

    runs: int
    run_bytes: int
    datasets: int
    dataset_bytes: int

    @property
    def total(self) -> int:
        """All that the project holds."""
        return self.run_bytes + self.dataset_bytes


@dataclass(frozen=True)
class Room:
    """A disk's size, and how much of it is left."""

    total: int
    free: int

    @property
    def is_nearly_full(self) -> bool:
        """Whether so little is left that work on it will fail soon."""
        return self.free < min(LEAST_FREE_BYTES, self.total * LEAST_FREE_SHARE)


def room_at(place: Path) -> Room:
    """Return the room where something lies."""
    disk = shutil.disk_usage(place)
    return Room(disk.total, disk.free)


def is_nearly_full(place: Path) -> bool:
    """Return whether a disk has so little room left that work on it will fail soon."""
    return room_at(place).is_nearly_full


class Disks:
    """What lies on a disk of this machine; some or all of it may share one. A disk that hangs or is gone holds up nobody who asks."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._probes = {name: Probe(partial(room_at, place)) for name, place in places.items()}

    def ask(self) -> dict[str, Future[Room]]:
        """Have every disk asked; whoever waits for the answers says how long."""
        return {name: probe.start() for name, probe in self._probes.items()}

    def known(self) -> dict[str, Room]:
        """Return the room of those that answer soon."""
        deadline, found = time.monotonic() + PATIENCE_SECONDS, {}
        for name, asked in self.ask().items():
            try:
                found[name] = asked.result(max(0.0, deadline - time.monotonic()))
            except (TimeoutError, OSError):
                continue
        return found

    def full(self) -> list[str]:
        """Return what there is no room left for, as far as is known."""
        return [name for name, room in self.known().items() if room.is_nearly_full]


class Disk:
    """Reads of sizes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def of_runs(self, runs: Iterable[Run]) -> dict[str, RunSize]:
        """Return what each run holds; two queries, however many runs."""
        runs = list(runs)
        both = CheckpointRow.size_bytes + func.coalesce(Artifact.size_bytes, 0)  # on its machine, and packed in the store
        kept = select(CheckpointRow.run_id, func.sum(both)).outerjoin(CheckpointRow.artifact).where(CheckpointRow.state != GONE)
        checkpoints = self._pairs(kept.where(CheckpointRow.run_id.in_([run.id for run in runs])).group_by(CheckpointRow.run_id))
        sizes = select(Artifact.id, Artifact.size_bytes).where(Artifact.id.in_([run.adapter_id for run in runs if run.adapter_id]))
        adapters = self._pairs(sizes)
        return {run.id: RunSize(adapters.get(run.adapter_id or "", 0), checkpoints.get(run.id, 0), run.work_bytes) for run in runs}

    def of_project(self, by: Identity) -> DiskUse:
        """Return what a project holds; equal files lie in the store once, and count once."""
        runs, work = self.session.execute(select(func.count(), func.sum(Run.work_bytes)).where(Run.project_id == by.project_id)).one()
        kept = select(func.sum(CheckpointRow.size_bytes)).where(CheckpointRow.project_id == by.project_id, CheckpointRow.state != GONE)
        datasets = select(func.count()).select_from(Dataset).where(Dataset.project_id == by.project_id, Dataset.deleted_at.is_(None))
        return DiskUse(
            runs=runs,
            run_bytes=int(work or 0) + int(self.session.scalar(kept) or 0) + self._files(by, OF_RUNS),
            datasets=self.session.scalar(datasets) or 0,
            dataset_bytes=self._files(by, OF_DATASETS),
        )

    def _files(self, by: Identity, kinds: tuple[str, ...]) -> int:
        mine = select(Artifact.sha256, Artifact.size_bytes).where(Artifact.project_id == by.project_id, Artifact.kind.in_(kinds))
        return int(self.session.scalar(select(func.sum(mine.distinct().subquery().c.size_bytes))) or 0)

    def _pairs(self, query: Select[str, int]) -> dict[str, int]:
        return {key: int(size) for key, size in self.session.execute(query)}
