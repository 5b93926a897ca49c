"""Rows of a run, wherever they come from, stand on the same sides."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.datasets import Split
from app.domain.errors import Invalid
from app.domain.specs import TrainingSettings
from app.gateways.rows import RowPages
from workers.curation.importing import FileSpec, ImportSpec, import_file
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


CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
EXPORTED = [
    {"messages": [{"role": "user", "content": f"question {n}"}, {"role": "assistant", "content": f"answer {n}"}]} for n in range(30)
] + [
    {"split": "test", "messages": [{"role": "user", "content": "held out"}, {"role": "assistant", "content": "as the file says"}]},
    {"split": "train", "messages": [{"role": "user", "content": "learnt"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}],
     "tools": [{"type": "function", "function": {"name": "look"}}]},
    {"messages": [{"role": "user", "content": "weighed"}, {"role": "assistant", "content": "no", "weight": 0}]},
    {"input": {"messages": [{"role": "user", "content": "which"}]}, "preferred_output": [{"role": "assistant", "content": "this"}],
     "non_preferred_output": [{"role": "assistant", "content": "that"}]},
    {"messages": [{"role": "user", "content": "liked"}, {"role": "assistant", "content": "yes"}], "label": True},
    {"messages": [{"role": "user", "content": "disliked"}, {"role": "assistant", "content": "never learnt"}], "label": False},
    {"text": "a text to learn whole"},
]  # fmt: skip


def test_what_a_dataset_exports_is_read_as_the_same_rows_on_the_same_sides(tmp_path: Path) -> None:
    first, stored = tmp_path / "first.jsonl", tmp_path / "rows"
    first.write_text("".join(json.dumps(row) + "\n" for row in EXPORTED))
    import_file(ImportSpec(files=[FileSpec(path=first, filename="first.jsonl")], out=stored), lambda *_: None)
    exported = tmp_path / "exported.jsonl"
    exported.write_bytes(b"".join(RowPages(stored, tmp_path / "pages").jsonl()))
    assert read_rows(exported) == read_rows(stored)
    sides = {row.messages[0].content: row.split for row in read_rows(stored)}
    assert (sides["held out"], sides["learnt"], "disliked" in sides) == (Split.TEST, Split.TRAIN, False)
    assert len(sides) == len(EXPORTED) - 1


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.jsonl", "{]\n{]\n", "on line 1: not valid JSON"), ("a.csv", "x,y\nHi?,Hello.\nHo?,Hey.\n", r"columns \(x, y\)"),
        ("a.json", "[]", "no rows"),
    ],
)  # fmt: skip
def test_a_file_without_a_usable_row_is_refused(tmp_path: Path, name: str, content: str, why: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(Invalid, match=why):
        read_rows(tmp_path / name)


def test_foreign_parquet_and_missing_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign")
    for name in ("foreign", "missing"):
        with pytest.raises(Invalid):
            read_rows(tmp_path / name)


def test_a_parquet_of_others_is_read_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["Hi?"], "completion": ["Hello."]}), tmp_path / "a.parquet")
    assert [message.content for message in read_rows(tmp_path / "a.parquet")[0].messages] == ["Hi?", "Hello."]
