"""Reading the rows of a run: Hone's Parquet, or a file in a known shape; and which of them are held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from app.domain.datasets import STORED, Split, row_from, row_hash, split_by_hash
from app.domain.errors import Invalid

if TYPE_CHECKING:
    from pathlib import Path

    from app.domain.datasets import Message

PARQUET_MARK = b"PAR1"
COLUMNS = ["row", "messages", "split", "hash"]
ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Row:
    """A conversation, the hash of its content, the side it is on, and the number under which a dataset's page shows it."""

    messages: tuple[Message, ...]
    hash: str
    split: Split
    number: int
    tools: list[dict[str, Any]] | None = None


@dataclass
class Rows:
    """What a run trains on, and what it is checked on; how many there were is known even after they are forgotten."""

    train: list[Row]
    held_out: list[Row]
    training_rows: int = field(init=False)
    held_out_rows: int = field(init=False)
    fingerprint: str = field(init=False)
    """A hash over the training rows in their order."""

    def __post_init__(self) -> None:
        self.training_rows, self.held_out_rows = len(self.train), len(self.held_out)
        content = hashlib.sha256()
        for row in self.train:
            content.update(row.hash.encode())
        self.fingerprint = content.hexdigest()

    def forget(self) -> None:
        """Let go of the conversations: once they are tokens, the memory is wanted for other things."""
        self.train.clear()
        self.held_out.clear()


def load_rows(dataset: Path, eval_dataset: Path | None) -> Rows:
    """Return the rows of a run; with an own evaluation dataset every row of `dataset` trains."""
    rows = read_rows(dataset)
    if eval_dataset is not None:
        return _checked(Rows(rows, read_rows(eval_dataset)), dataset)
    return _checked(Rows([r for r in rows if r.split is Split.TRAIN], [r for r in rows if r.split is Split.TEST]), dataset)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file that an answer can be learnt from, in its order: none whose answer was disliked."""
    if not path.is_file():
        raise Invalid(f"There is no file {path.name!r} where the spec says.", param="dataset", code="no_such_dataset")
    with path.open("rb") as file:
        if file.read(len(PARQUET_MARK)) == PARQUET_MARK:
            return _from_parquet(path)
    conversations = _from_file(path)
    hashes = [row_hash(messages) for messages in conversations]
    return [Row(*row) for row in zip(conversations, hashes, split_by_hash(hashes), count(1), strict=False)]


def _checked(rows: Rows, dataset: Path) -> Rows:
    if not rows.train:
        message = f"{dataset.name} holds no rows to train on."
        raise Invalid(message, param="dataset", code="empty_dataset")
    return rows


def _from_parquet(path: Path) -> list[Row]:
    from pyarrow import ArrowInvalid, parquet

    try:
        with parquet.ParquetFile(path) as file:
            missing = set(COLUMNS) - set(file.schema_arrow.names)
            if missing:
                message = f"{path.name} is not a dataset of Hone's: it has no column {min(missing)!r}."
                raise Invalid(message, param="dataset", code="unreadable_dataset")
            columns = [name for name in file.schema_arrow.names if name in {*COLUMNS, *STORED}]
            batches = file.iter_batches(ROWS_AT_ONCE, columns=columns)
            found = enumerate((row for batch in batches for row in batch.to_pylist()), 1)
            return [_row(raw, number) for number, raw in found if raw.get("label") is not False]
    except ArrowInvalid as error:
        message = f"{path.name} is not a dataset of Hone's: {error}."
        raise Invalid(message, param="dataset", code="unreadable_dataset") from error


def _row(raw: dict[str, Any], number: int) -> Row:
    stored = row_from(raw)
    return Row(tuple(stored.messages), raw["hash"], stored.split, number, stored.tools)


def _from_file(path: Path) -> list[tuple[Message, ...]]:
    from workers.curation.read import read_conversations

    return [tuple(messages) for _line, messages in read_conversations(path)]
