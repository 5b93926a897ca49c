"""Datasets as the list shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.datasets import DatasetStatus, ImportReport
from app.web import looks

if TYPE_CHECKING:
    from app.db import Dataset
    from app.web.looks import Look

FORMATS = {
    "chat": "chat messages", "prompt_completion": "prompt and completion", "alpaca": "Alpaca", "sharegpt": "ShareGPT", "table": "table",
    "preference": "comparisons", "kto": "liked or not", "text": "plain text",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A dataset in a list."""

    dataset: Dataset

    @property
    def look(self) -> Look:
        """Its state as shown."""
        return looks.dataset_look(self.dataset.status)

    @property
    def report(self) -> ImportReport | None:
        """What reading the file found, once it was read."""
        return ImportReport.model_validate(self.dataset.report) if self.dataset.report else None

    @property
    def format(self) -> str:
        """The shape of the file, in words."""
        return FORMATS.get(self.dataset.format or "", "–")

    @property
    def problems(self) -> int | None:
        """How many rows want a look, those set aside among them; None before somebody looked."""
        aside = self.report.problem_count if self.report else None
        found = self.dataset.version.findings.get("flagged") if self.dataset.version else None
        return aside or None if found is None else found + (aside or 0)


def can_map(dataset: Dataset) -> bool:
    """Return whether columns or system prompt may still be changed: until a run has used the rows."""
    frozen = dataset.version is not None and dataset.version.frozen_at is not None
    return dataset.status != DatasetStatus.IMPORTING and not frozen and bool(dataset.files) and all(file.upload for file in dataset.files)
