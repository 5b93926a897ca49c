"""What everything holds on disk, added up from rows: no folder is walked for a page."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from app.db import Artifact, CheckpointRow, Dataset, Run
from app.db.checkpoints import GONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity

LEAST_FREE_BYTES, LEAST_FREE_SHARE = 100 * 2**20, 0.05
"""Below this a disk counts as full: enough for the database to commit and for a small checkpoint. On a small disk the share decides."""
OF_RUNS, OF_DATASETS = ("adapter", "checkpoint"), ("upload", "rows")


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
    """What a project holds, and how much is left on the disk of the store."""

    runs: int
    run_bytes: int
    datasets: int
    dataset_bytes: int
    free_bytes: int

    @property
    def total(self) -> int:
        """All that the project holds."""
        return self.run_bytes + self.dataset_bytes


def is_nearly_full(place: Path) -> bool:
    """Return whether a disk has so little room left that work on it will fail soon."""
    disk = shutil.disk_usage(place)
    return disk.free < min(LEAST_FREE_BYTES, disk.total * LEAST_FREE_SHARE)


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

    def of_project(self, by: Identity, store: Path) -> DiskUse:
        """Return what a project holds; equal files lie in the store once, and count once."""
        runs, work = self.session.execute(select(func.count(), func.sum(Run.work_bytes)).where(Run.project_id == by.project_id)).one()
        kept = select(func.sum(CheckpointRow.size_bytes)).where(CheckpointRow.project_id == by.project_id, CheckpointRow.state != GONE)
        datasets = select(func.count()).select_from(Dataset).where(Dataset.project_id == by.project_id, Dataset.deleted_at.is_(None))
        return DiskUse(
            runs=runs,
            run_bytes=int(work or 0) + int(self.session.scalar(kept) or 0) + self._files(by, OF_RUNS),
            datasets=self.session.scalar(datasets) or 0,
            dataset_bytes=self._files(by, OF_DATASETS),
            free_bytes=shutil.disk_usage(store).free,
        )

    def _files(self, by: Identity, kinds: tuple[str, ...]) -> int:
        mine = select(Artifact.sha256, Artifact.size_bytes).where(Artifact.project_id == by.project_id, Artifact.kind.in_(kinds))
        return int(self.session.scalar(select(func.sum(mine.distinct().subquery().c.size_bytes))) or 0)

    def _pairs(self, query: Select[str, int]) -> dict[str, int]:
        return {key: int(size) for key, size in self.session.execute(query)}
