"""Rows, their shapes and their split: what a dataset is, apart from where it lies."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Role = Literal["system", "user", "assistant"]

HELD_OUT_SHARE = 0.1
MAX_PROBLEMS_LISTED = 100
MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
ROW_GROUP_ROWS = 5_000
CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""How a conversation is spelt before it is hashed; made once, since making it takes longer than using it."""


class DatasetStatus(StrEnum):
    """Where an upload stands."""

    IMPORTING = "importing"
    NEEDS_MAPPING = "needs_mapping"
    READY = "ready"
    FAILED = "failed"


class DatasetFormat(StrEnum):
    """The shape a file was recognised as."""

    CHAT = "chat"
    PROMPT_COMPLETION = "prompt_completion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    TABLE = "table"


class Split(StrEnum):
    """Rows to learn from, and rows kept aside."""

    TRAIN = "train"
    TEST = "test"


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    content: str


class Turn(NamedTuple):
    """A message while millions of them are read: the same two fields, without validation."""

    role: Role
    content: str


class Row(BaseModel):
    """One example: its place among the usable rows (from 0, file order), which side it is on, and the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: int
    split: Split
    messages: list[Message]


class Problem(BaseModel):
    """A row that was set aside: the 1-based physical line where it starts, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: Annotated[int, Field(ge=1)]
    reason: str


class Mapping(BaseModel):
    """Which column fills which role; a dotted name reaches into nested JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    assistant: str
    system: str | None = None


class ImportReport(BaseModel):
    """What reading a file found: the `data` of an import's Finished event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: DatasetStatus
    format: DatasetFormat | None
    columns: list[str] = Field(default_factory=list)
    rows: int = 0
    train_rows: int = 0
    test_rows: int = 0
    problem_count: int = 0
    problems: list[Problem] = Field(default_factory=list)
    sample: list[dict[str, str]] = Field(default_factory=list, description="First rows of a table, for mapping its columns.")
    sha256: str | None = Field(None, description="Hash of the Parquet file; None when no row was usable.")
    encoding: str | None = None
    delimiter: str | None = None
    suggested: Mapping | None = Field(None, description="A guess at the mapping, for the page to offer.")
    notes: list[str] = Field(default_factory=list, description="What a person should know about rows that were taken.")


def row_hash(messages: Iterable[Message | Turn]) -> str:
    """Return the hex SHA-256 of a conversation; equal conversations are equal rows."""
    canonical = CANONICAL.encode([[m.role, m.content] for m in messages])
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def side_by_hash(row_hash: str) -> Split:
    """Return the side a row's own hash puts it on: one chance in ten to be held out."""
    return Split.TEST if int(row_hash[:8], 16) / 2**32 < HELD_OUT_SHARE else Split.TRAIN


def moved_to_fill_both_sides(distinct: set[str]) -> dict[str, Split]:
    """Return the rows that change sides because one side would be empty; distinct hashes in, hashes with their new side out."""
    sides = {side_by_hash(h) for h in distinct}
    if len(sides) != 1:
        return {}
    if sides == {Split.TRAIN}:
        return {min(distinct): Split.TEST} if len(distinct) > 1 else {}
    return {max(distinct): Split.TRAIN}


def split_by_hash(hashes: Sequence[str]) -> list[Split]:
    """Assign each row by its own hash, so that it keeps its side when others come and go, and twins stay together.

    When that would leave a side empty, the row with the lowest (or highest) hash is moved over, so that two distinct rows are enough
    for a run; a single distinct row is there to learn from.
    """
    moved = moved_to_fill_both_sides(set(hashes))
    return [moved.get(h) or side_by_hash(h) for h in hashes]
