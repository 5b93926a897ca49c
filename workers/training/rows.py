"""Reading the rows of a run: Hone's Parquet, or a file in a known shape; and which of them are held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from app.domain.datasets import STORED, DatasetStatus, Split, row_from
from app.domain.errors import Invalid

if TYPE_CHECKING:
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
    if _is_own(path):
        return _from_parquet(path)
    # Read as the studio would, into the same file: so rows, sides and reasons are the same.
    with TemporaryDirectory(prefix="hone-") as folder:
        return _from_parquet(_imported(path, Path(folder)))


def _is_own(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(len(PARQUET_MARK)) != PARQUET_MARK:
            return False
    from pyarrow import ArrowInvalid, parquet

    try:
        return set(parquet.read_schema(path).names) >= set(COLUMNS)
    except ArrowInvalid:
        return False


def _imported(path: Path, folder: Path) -> Path:
    from workers.curation.importing import FileSpec, ImportSpec, import_file

    spec = ImportSpec(files=[FileSpec(path=path, filename=path.name)], out=folder / "rows")
    report, why = import_file(spec, lambda *_: None)
    if report.status is not DatasetStatus.READY:
        listed = ", ".join(report.columns)
        unclear = f"No row of {path.name} can be used: its columns ({listed}) say neither what is asked nor what is answered."
        raise Invalid(unclear if report.status is DatasetStatus.NEEDS_MAPPING else why, param="dataset", code="no_rows")
    return spec.out


def _checked(rows: Rows, dataset: Path) -> Rows:
    if not rows.train:
        message = f"{dataset.name} holds no rows to train on."
        raise Invalid(message, param="dataset", code="empty_dataset")
    return rows


def _from_parquet(path: Path) -> list[Row]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        columns = [name for name in file.schema_arrow.names if name in {*COLUMNS, *STORED}]
        batches = file.iter_batches(ROWS_AT_ONCE, columns=columns)
        found = enumerate((row for batch in batches for row in batch.to_pylist()), 1)
        return [_row(raw, number) for number, raw in found if raw.get("label") is not False]


def _row(raw: dict[str, Any], number: int) -> Row:
    stored = row_from(raw)
    return Row(tuple(stored.messages), raw["hash"], stored.split, number, stored.tools)
