"""Rows of a run, wherever they come from, stand on the same sides."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.datasets import Split
from app.domain.errors import Invalid
from app.domain.specs import TrainingSettings
from workers.training.base_model import BaseModel
from workers.training.material import make_material
from workers.training.report import Reporter
from workers.training.rows import Rows, load_rows, read_rows


def as_parquet(rows: Path, path: Path) -> Path:
    """Write rows as Hone's Parquet, under a name without an ending, as blobs have."""
    read = read_rows(rows)
    table = {
        "row": list(range(len(read))),
        "messages": [[message.model_dump() for message in row.messages] for row in read],
        "split": [row.split.value for row in read],
        "hash": [row.hash for row in read],
        "line": list(range(1, len(read) + 1)),
    }
    pq.write_table(pa.table(table), path)
    return path


def test_a_file_and_its_parquet_give_the_same_rows(rows: Path, tmp_path: Path) -> None:
    assert load_rows(as_parquet(rows, tmp_path / "blob"), None) == load_rows(rows, None)


def test_a_tenth_or_so_is_held_out_unless_there_is_a_dataset_for_it(rows: Path) -> None:
    split = load_rows(rows, None)
    assert 0 < len(split.held_out) < len(split.train)
    assert all(row.split is Split.TEST for row in split.held_out)
    own = load_rows(rows, rows)
    assert len(own.train) == len(own.held_out) == len(split.train) + len(split.held_out)


def test_once_they_are_tokens_the_texts_are_forgotten_and_only_counted(base: Path, rows: Path) -> None:
    loaded = load_rows(rows, None)
    before = len(loaded.train), len(loaded.held_out), loaded.fingerprint
    reporter = Reporter(io.BytesIO())
    material = make_material(BaseModel(base, "tiny", {}), loaded, TrainingSettings(), reporter=reporter, check=lambda: None)
    assert (len(material.train.rows), len(material.held_out)) == before[:2]
    assert (loaded.training_rows, loaded.held_out_rows, loaded.fingerprint) == before
    assert not loaded.train
    assert not loaded.held_out


def test_the_same_rows_in_another_order_are_other_rows(rows: Path) -> None:
    read = read_rows(rows)
    assert Rows(read, []).fingerprint != Rows(read[::-1], []).fingerprint


def test_foreign_parquet_and_missing_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "foreign")
    for name in ("foreign", "missing"):
        with pytest.raises(Invalid):
            read_rows(tmp_path / name)
