from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.curation.conftest import Importer
from workers.curation.arrow_rows import arrow_rows, parquet_rows
from workers.curation.rows import Aside, RawRow

CHAT = {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]}


def as_parquet(table: Any, path: Path) -> None:
    pq.write_table(table, path)


def as_file(table: Any, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def as_stream(table: Any, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


WRITERS = {"a.parquet": as_parquet, "a.arrow": as_file, "a.stream": as_stream}


def read(path: Path) -> list[RawRow | Aside]:
    return list(parquet_rows(path, 2**40, lambda _: None))


@pytest.mark.parametrize("name", WRITERS)
def test_conversations_of_a_binary_file_are_read(tmp_path: Path, imported: Importer, name: str) -> None:
    WRITERS[name](pa.Table.from_pylist([CHAT] * 20), tmp_path / name)
    found = imported(tmp_path / name, name)
    assert (found.report.status, found.report.format, found.report.rows, found.report.encoding) == ("ready", "chat", 20, None)
    assert [row["line"] for row in found.rows] == list(range(2, 22))


@pytest.mark.parametrize("name", WRITERS)
def test_a_binary_table_waits_for_its_mapping_and_takes_it(tmp_path: Path, imported: Importer, name: str) -> None:
    WRITERS[name](pa.table({"utterance": ["a", "b", None], "intent": ["x", "y", "z"]}), tmp_path / name)
    assert imported(tmp_path / name, name).report.status == "needs_mapping"
    found = imported(tmp_path / name, name, mapping={"user": "utterance", "assistant": "intent"})
    assert (found.report.rows, found.problems) == (2, [(4, "the user's turn is empty")])


@pytest.mark.parametrize("name", WRITERS)
def test_a_binary_file_that_breaks_off_is_told(tmp_path: Path, imported: Importer, name: str) -> None:
    WRITERS[name](pa.Table.from_pylist([CHAT] * 2_000), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    found = imported(whole[: len(whole) * 2 // 3], name)
    assert (found.report.status, found.files) == ("failed", [])
    assert "damaged" in found.reason


def test_the_first_bad_row_is_told_as_a_row(tmp_path: Path, imported: Importer) -> None:
    as_parquet(pa.table({"prompt": ["a"], "completion": [""]}), tmp_path / "a")
    assert imported(tmp_path / "a", "a.parquet").reason.endswith("in row 2: the assistant's answer is empty.")


def test_values_are_as_json_has_them(tmp_path: Path) -> None:
    row = {
        "day": dt.date(2026, 1, 2), "at": dt.datetime.fromisoformat("2026-01-02T03:04"), "money": decimal.Decimal("1.50"), "raw": b"ab",
        "nan": float("nan"), "deep": [{"a": [1, None]}],
    }  # fmt: skip
    as_parquet(pa.Table.from_pylist([row]), tmp_path / "a")
    (found,) = read(tmp_path / "a")
    assert isinstance(found, RawRow)
    assert found.cells == {
        "day": "2026-01-02", "at": "2026-01-02T03:04:00", "money": "1.50", "raw": "ab", "nan": None, "deep": [{"a": [1, None]}]
    }  # fmt: skip


def test_a_value_that_is_no_text_costs_its_row_only(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")])
    as_parquet(pa.table({"text": bad}), tmp_path / "a")
    found = read(tmp_path / "a")
    assert [each.line for each in found if isinstance(each, RawRow)] == [2, 4]
    assert [each.line for each in found if isinstance(each, Aside)] == [3]


def test_a_file_that_promises_far_more_than_it_weighs_is_not_opened_further(tmp_path: Path, imported: Importer) -> None:
    pq.write_table(pa.table({"text": ["x" * 1_000_000] * 64}), tmp_path / "a", compression="zstd", use_dictionary=False)
    found = imported(tmp_path / "a", "a.parquet")
    assert found.report.status == "failed"
    assert "says that it unpacks to 64," in found.reason


def test_columns_nested_too_deep_or_too_many_are_refused(tmp_path: Path, imported: Importer) -> None:
    kind: Any = pa.string()
    for _ in range(70):
        kind = pa.struct([pa.field("a", kind)])
    with pa.OSFile(str(tmp_path / "a"), "wb") as sink, pa.ipc.new_stream(sink, pa.schema([pa.field("a", kind)])):
        pass
    assert "nested deeper than 64" in imported(tmp_path / "a", "a.arrow").reason
    as_parquet(pa.table({f"c{number}": [1] for number in range(2_001)}), tmp_path / "b")
    assert "2,001 columns" in imported(tmp_path / "b", "b.parquet").reason


def test_progress_follows_the_rows(tmp_path: Path) -> None:
    as_parquet(pa.table({"text": [str(number) for number in range(2_000)]}), tmp_path / "a")
    as_stream(pa.table({"text": [str(number) for number in range(2_000)]}), tmp_path / "b")
    for reader in (lambda tell: parquet_rows(tmp_path / "a", 2**40, tell), lambda tell: arrow_rows(tmp_path / "b", tell)):
        told: list[float] = []
        read_all: Callable[..., Any] = reader
        assert len(list(read_all(told.append))) == 2_000
        assert told == sorted(told)
        assert told[-1] == pytest.approx(1, abs=0.05)
