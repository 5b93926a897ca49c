"""The data desk: what one can do about the rows of a dataset once they are read. Every change is a new version, and can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import DatasetVersion, EventRow
from app.db.datasets import came_to_nothing, take_back_files
from app.db.runs import forget_rows
from app.db.session import pause
from app.domain.errors import Conflict, NotFound
from app.domain.runs import ENDED, RunStatus, after_request

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.db import Dataset, Import
    from app.db.datasets import FileKind
    from app.domain.fixes import Fix
    from app.domain.ports import FindingsFile, Storage
    from app.services.accounts import Identity
    from app.services.datasets import Datasets

TAKE_ROWS_IN = ("mend", "trim_end")
"""Fixes that need to know nothing of the rows there are."""


class Desk:
    """Looks at the rows of datasets and changes them."""

    def __init__(self, session: Session, storage: Storage, datasets: Datasets) -> None:
        self.session, self.storage, self.datasets = session, storage, datasets

    def check(self, by: Identity, dataset_id: str) -> Dataset:
        """Have the rows looked at for problems, as it happens by itself after each change."""
        dataset, version = self._changeable(by, dataset_id)
        self.datasets.work(by, dataset, {"kind": "check", "version_id": version.id})
        return dataset

    def fix(self, by: Identity, dataset_id: str, fix: Fix, version: str | None = None) -> Dataset:
        """Have the rows changed, as a new version; Conflict before they were looked at for problems, or when they are not that version."""
        dataset, present = self._changeable(by, dataset_id, version)
        if fix.op not in TAKE_ROWS_IN and present.file("findings") is None:
            message = "These rows were not looked at for problems yet; wait until that has ended, or ask for it."
            raise Conflict(message, code="not_checked")
        task = {"kind": "fix", "version_id": present.id, "fix": fix.model_dump(mode="json")}
        self.datasets.work(by, dataset, task, present.artifact.size_bytes)
        return dataset

    def undo(self, by: Identity, dataset_id: str, version: str | None = None) -> Dataset:
        """Go back to the rows before the last change, with what was found in them; Conflict when the present ones are not that version."""
        dataset, present = self._changeable(by, dataset_id, version)
        before = self.session.get(DatasetVersion, present.parent_id) if present.parent_id else None
        if before is None:
            message = "There is no earlier state of these rows to go back to."
            raise Conflict(message, code="nothing_to_undo")
        words = present.step.get("words", "")
        dataset.version_id = before.id
        rows = {"rows": before.rows, "train_rows": before.train_rows, "test_rows": before.test_rows}
        dataset.report = dataset.report | rows | present.step.get("before", {})
        if present.step.get("kind") == "append":
            take_back_files(self.session, dataset, present.step["first"], self.storage)
        self.session.flush()
        forget_rows(self.session, present.id, self.storage)
        self._tell(dataset, "undone", f"Undone: {words}" if words else "The last change was undone.")
        return dataset

    def cancel(self, by: Identity, dataset_id: str) -> Dataset:
        """Call off what a worker is doing with a dataset; what was there before stays."""
        dataset = self.datasets.get(by, dataset_id, to_change=True)
        work = self.work(dataset)
        if work is None:
            message = "Nothing is being done with this dataset."
            raise Conflict(message, code="illegal_state")
        if work.status != RunStatus.CANCELLING:
            work.move_to(after_request("cancel", RunStatus(work.status)), "Somebody called it off.")
        if work.status == RunStatus.CANCELLED:  # no worker had it yet, so none will see to its end
            came_to_nothing(self.session, work, self.storage)
        return dataset

    def work(self, dataset: Dataset) -> Import | None:
        """Return what a worker is doing with a dataset, or is to do."""
        newest = self.datasets.reading(dataset)
        return newest if newest is not None and newest.status not in ENDED else None

    def require_same(self, dataset: Dataset, version: str | None) -> None:
        """Raise Conflict when the rows are not the version that somebody has looked at; None is whichever there is."""
        if version is not None and version != dataset.version_id:
            message = "The rows have changed meanwhile: look at them again."
            raise Conflict(message, code="rows_changed")

    def can_undo(self, dataset: Dataset) -> bool:
        """Return whether there is an earlier state of the rows."""
        parent = dataset.version.parent_id if dataset.version else None
        return parent is not None and self.session.get(DatasetVersion, parent) is not None

    def findings(self, dataset: Dataset) -> FindingsFile | None:
        """Return what was found in each row; None before somebody looked."""
        sha256 = self._sha256(dataset, "findings")
        if sha256 is None:
            return None
        pause(self.session)
        return self.storage.findings(sha256)

    def mask_map(self, by: Identity, dataset_id: str) -> tuple[str, str]:
        """Return the content's hash and a name for the file that says what the masks in the rows stand for."""
        dataset = self.datasets.get(by, dataset_id)
        sha256 = self._sha256(dataset, "mask_map")
        if sha256 is None:
            message = "No map was kept for these rows: what the masks stand for is not known to anybody."
            raise NotFound(message, code="no_mask_map")
        return sha256, f"{dataset.name}-mask-map.jsonl"

    def _sha256(self, dataset: Dataset, kind: FileKind) -> str | None:
        artifact = dataset.version.file(kind) if dataset.version else None
        return artifact.sha256 if artifact else None

    def _changeable(self, by: Identity, dataset_id: str, version: str | None = None) -> tuple[Dataset, DatasetVersion]:
        dataset = self.datasets.get(by, dataset_id, to_change=True)
        self.require_same(dataset, version)
        self.datasets.require_idle(dataset)
        if dataset.version is None:
            message = "This dataset has no rows yet."
            raise Conflict(message, code="dataset_not_ready")
        return dataset, dataset.version

    def _tell(self, dataset: Dataset, kind: str, message: str) -> None:
        self.session.add(EventRow(project_id=dataset.project_id, subject_id=dataset.id, type=kind, message=message))
