"""Rows that were set aside at reading, as they are kept beside a dataset's rows: one JSON object a line.

Each has a number of its own, since a file and a line are not enough: every member of an archive begins with its first line.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ROWS_KEPT, MAX_BYTES_KEPT = 10_000, 64 * 1024 * 1024
"""Of more rows, or longer ones, the others are but counted: who looks for those of one kind reads all that are kept."""


class Aside(BaseModel):
    """A row that was set aside at reading, as its file has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    number: int = Field(description="Which of the rows set aside this is; it stays the same while others are taken in.")
    file: int = 0
    line: int
    code: str = "broken"
    reason: str
    text: str = ""
    is_cut: bool = Field(False, description="Whether the text is but the beginning of a row that is longer than what is kept.")

    @property
    def fingerprint(self) -> str:
        """What tells this row from another one that got its number: those of a state that was undone are given again."""
        told = f"{self.file}:{self.line}:{self.text}"
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def rows_aside(lines: Iterable[str], code: str | None = None) -> Iterator[Aside]:
    """Read rows that were set aside, with `code` those only; rows from before they had numbers are numbered by their place."""
    for place, line in enumerate(lines, 1):
        raw = {"number": place, "code": "broken"} | json.loads(line)
        if code is None or raw["code"] == code:
            yield Aside.model_validate(raw)
