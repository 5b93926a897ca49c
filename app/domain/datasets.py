"""Rows, their shapes and their split: what a dataset is, apart from where it lies."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

HELD_OUT_SHARE = 0.1
MAX_PROBLEMS_LISTED = 100
MAX_LINE_BYTES = 8 * 1024 * 1024
ROW_GROUP_ROWS = 5_000


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

    role: Literal["system", "user", "assistant"]
    content: str


class Problem(BaseModel):
    """A row that was set aside: the 1-based physical line where it starts, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: Annotated[int, Field(ge=1)]
    reason: str


class Mapping(BaseModel):
    """Which column (or several, joined by a blank line) fills which role."""

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


def row_hash(messages: Sequence[Message]) -> str:
    """Return the hex SHA-256 of a conversation; equal conversations are equal rows."""
    canonical = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def split_by_hash(hashes: Sequence[str]) -> list[Split]:
    """Assign each row by its own hash, so that it keeps its side when others come and go, and twins stay together.

    Each distinct row has one chance in ten to be held out. When that would leave a side empty, the row with the lowest (or highest)
    hash is moved over, so that two distinct rows are enough for a run.
    """
    splits = [Split.TEST if int(h[:8], 16) / 2**32 < HELD_OUT_SHARE else Split.TRAIN for h in hashes]
    if len(set(hashes)) < 2:  # noqa: PLR2004 - one distinct row cannot be on both sides
        return [Split.TRAIN] * len(hashes)
    if Split.TEST not in splits:
        splits = [Split.TEST if h == min(hashes) else Split.TRAIN for h in hashes]
    if Split.TRAIN not in splits:
        splits = [Split.TRAIN if h == max(hashes) else Split.TEST for h in hashes]
    return splits
