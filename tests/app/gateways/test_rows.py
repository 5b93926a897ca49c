"""Rows by page, from the Arrow file that is made when they are first shown."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.datasets import Example, Turn
from app.gateways import rows as rows_of
from app.gateways.rows import BATCH_ROWS, RowPages
from app.gateways.storage import LocalStorage
from tests.waiting import PATIENCE_SECONDS
from workers.curation.parquet import RowWriter

SPLIT_TWICE = 2 * BATCH_ROWS + 10


def stored(folder: Path, examples: Sequence[Example]) -> RowPages:
    folder.mkdir(exist_ok=True)
    with RowWriter(folder / "rows.parquet") as writer:
        for line, example in enumerate(examples, 1):
            writer.add(example, line)
        writer.finish()
    return RowPages(folder / "rows.parquet", folder / "pages" / "rows")


def said(question: str, answer: str = "Yes.", **more: object) -> Example:
    return Example((Turn("user", question), Turn("assistant", answer)), **more)  # type: ignore[arg-type] # a test's shorthand


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of which pages were made, or begun to be."""
    copies: list[Path] = []
    really = rows_of._copy

    def watched(path: Path, target: object) -> None:
        copies.append(path)
        really(path, target)

    monkeypatch.setattr(rows_of, "_copy", watched)
    return copies


@pytest.fixture
def numbered(tmp_path: Path) -> RowPages:
    """Rows of three batches and two row groups, each of which names its own number."""
    return stored(tmp_path, [said(f"Question {number} of many?") for number in range(6_010)])


def first_turns(rows: RowPages, after: int, limit: int) -> list[str]:
    return [row.messages[0].content for row in rows.page(after, limit)[0]]


@pytest.mark.parametrize("after", [-1, 0, 950, 999, 1_000, 4_990, 4_999, 5_000, 5_980, 6_000, 6_009, 9_999])
def test_a_page_has_the_rows_after_a_number_wherever_batches_end(numbered: RowPages, after: int) -> None:
    expected = range(after + 1, min(after + 51, 6_010))
    found, more = numbered.page(after, 50)
    assert [row.row for row in found] == [*expected]
    assert [row.messages[0].content for row in found] == [f"Question {number} of many?" for number in expected]
    assert more == (after + 51 < 6_010)
    assert numbered.count == 6_010


def test_a_page_may_be_larger_than_a_batch(numbered: RowPages) -> None:
    assert [row.row for row in numbered.page(500, SPLIT_TWICE)[0]] == [*range(501, 501 + SPLIT_TWICE)]


def test_rows_are_given_by_number_in_the_order_they_were_asked_for(numbered: RowPages) -> None:
    asked = [5_999, 0, 6_009, 1_000, 999, 0, 6_010, -1]
    assert [row.row for row in numbered.rows_at(asked)] == [5_999, 0, 6_009, 1_000, 999, 0]
    assert numbered.rows_at([]) == []


def test_everything_a_row_carries_is_in_its_page(tmp_path: Path) -> None:
    call = json.dumps([{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}])
    tools = json.dumps([{"type": "function", "function": {"name": "f"}}])
    turns = [Turn("user", "2+2?"), Turn("assistant", "", call), Turn("tool", "4", None, "1", "f"), Turn("assistant", "4", weight=0)]
    rows = stored(tmp_path, [Example(turns, tools=tools), said("?", rejected=(Turn("assistant", "No."),)), said("?", label=False)])
    found = rows.page(-1, 10)[0]
    assert found[0].messages[1].tool_calls == json.loads(call)
    assert (found[0].messages[2].tool_call_id, found[0].messages[3].weight, found[0].tools) == ("1", 0, json.loads(tools))
    assert found[1].rejected is not None
    assert (found[1].rejected[0].content, found[1].label, found[2].label) == ("No.", None, False)
    assert rows.rows_at([2, 1, 0]) == found[::-1]


def test_a_search_finds_what_is_said_in_any_turn_and_case(tmp_path: Path) -> None:
    rows = stored(
        tmp_path,
        [
            *(said(f"Plain {number}") for number in range(1_500)),
            said("Where is ZÜRICH (100% of it)?"),
            said("?", "In züRich."),
            said("?", rejected=(Turn("assistant", "Zürich, no doubt."),)),
            said("zür", "ich"),
        ],
    )
    assert rows.search("zürich", -1, 10) == ([1_500, 1_501, 1_502], False)
    assert rows.search("zürich", 1_500, 1) == ([1_501], True)
    assert rows.search("zürich", 1_502, 5) == ([], False)
    assert rows.search("(100% OF", -1, 5) == ([1_500], False)
    assert rows.search(".*", -1, 5) == ([], False)
    assert rows.search("plain", 1_400, 50) == ([*range(1_401, 1_451)], True)
    assert rows.search("zürich", 99_999, 5) == ([], False)


def test_a_text_is_not_found_across_the_end_of_a_turn(tmp_path: Path) -> None:
    rows = stored(tmp_path, [said("one", "two"), said("onetwo", "three")])
    assert rows.search("onetwo", -1, 5) == ([1], False)


def test_a_search_stops_once_its_page_is_full(numbered: RowPages, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    really = rows_of._saying

    def watched(batch: pa.RecordBatch, text: str) -> list[int]:
        looked_at.append(batch.num_rows)
        return really(batch, text)

    monkeypatch.setattr(rows_of, "_saying", watched)
    assert numbered.search("question", 3, 50) == ([*range(4, 54)], True)
    assert looked_at == [1_000]


def test_the_pages_are_made_once_and_again_when_they_are_gone(numbered: RowPages) -> None:
    assert not numbered.pages.exists()
    expected = numbered.page(100, 5)
    made = numbered.pages.stat().st_ino
    assert numbered.page(100, 5) == expected
    assert numbered.pages.stat().st_ino == made
    numbered.pages.unlink()
    assert numbered.page(100, 5) == expected
    assert [each.name for each in numbered.pages.parent.iterdir()] == ["rows"]


def test_pages_come_from_the_arrow_file_and_not_from_parquet(numbered: RowPages) -> None:
    numbered.page(0, 1)
    numbered.path.write_bytes(b"")
    assert first_turns(numbered, 4, 1) == ["Question 5 of many?"]


def test_requests_that_come_together_make_the_pages_once(numbered: RowPages, copies: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: numbered.page(10, 3), range(4)))
    assert found == [found[0]] * 4
    assert copies == [numbered.path]


def test_making_one_dataset_s_pages_keeps_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = (stored(tmp_path / name, [said(f"Is this {name}?")]) for name in ("slow", "quick"))
    is_made, go_on = threading.Event(), threading.Event()
    really = rows_of._copy

    def held_up(path: Path, target: object) -> None:
        if path == slow.path:
            is_made.set()
            assert go_on.wait(PATIENCE_SECONDS)
        really(path, target)

    monkeypatch.setattr(rows_of, "_copy", held_up)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(first_turns, slow, -1, 1)
        assert is_made.wait(PATIENCE_SECONDS)
        assert first_turns(quick, -1, 1) == ["Is this quick?"]
        assert not waiting.done()
        go_on.set()
        assert waiting.result() == ["Is this slow?"]


def test_a_crash_while_pages_are_made_leaves_none_that_are_half(numbered: RowPages, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(_path: Path, target: object) -> None:
        target.write(b"ARROW1")  # type: ignore[attr-defined] # a file
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(rows_of, "_copy", cut_off)
        with pytest.raises(KeyboardInterrupt):
            numbered.page(0, 1)
    assert list(numbered.pages.parent.iterdir()) == []
    assert first_turns(numbered, 6, 1) == ["Question 7 of many?"]


def test_what_a_killed_process_left_is_removed_in_time(numbered: RowPages) -> None:
    numbered.pages.parent.mkdir()
    old, new = (numbered.pages.parent / name for name in ("old.part", "new.part"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, time.time() - 2 * rows_of.ABANDONED_SECONDS))
    numbered.page(0, 1)
    assert sorted(each.name for each in numbered.pages.parent.iterdir()) == ["new.part", "rows"]


def test_without_room_for_pages_the_rows_are_shown_all_the_same(numbered: RowPages, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
        assert [row.row for row in numbered.page(4_998, 3)[0]] == [4_999, 5_000, 5_001]
        assert [row.row for row in numbered.rows_at([6_000, 3])] == [6_000, 3]
        assert numbered.search("question 5001 ", -1, 3) == ([5_001], False)
        assert not numbered.pages.exists()


def test_pages_that_turn_out_to_be_large_are_given_up_and_begun_again_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: list[Path]
) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "f", "description": "x" * 10_000}}])
    rows = stored(tmp_path, [said(f"Question {number}?", tools=tools) for number in range(1_000)])
    for free, made in ((9_000_000, False), (9_000_000, False), (30_000_000, True)):
        with monkeypatch.context() as disk:
            disk.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
            assert first_turns(rows, 500, 1) == ["Question 501?"]
        assert rows.pages.exists() == made
        assert [each.name for each in rows.pages.parent.iterdir()] == (["rows"] if made else [])
    assert len(copies) == 2


def test_where_nothing_can_be_written_the_rows_are_shown_all_the_same(numbered: RowPages) -> None:
    numbered.pages.parent.write_bytes(b"a file where the folder should be")
    assert first_turns(numbered, 6, 1) == ["Question 7 of many?"]


@pytest.mark.parametrize("repeated", ["", json.dumps([{"type": "function", "function": {"name": "x" * 300_000}}])])
def test_long_rows_make_small_batches_also_where_they_repeat_each_other(tmp_path: Path, repeated: str) -> None:
    long = "" if repeated else "x" * 300_000
    rows = stored(tmp_path, [said(f"{number}{long}", tools=repeated or None) for number in range(40)])
    rows.page(-1, 1)
    with pa.memory_map(str(rows.pages)) as source:
        file = pa.ipc.open_file(source)
        assert max(file.get_batch(number).nbytes for number in range(file.num_record_batches)) < 2 * rows_of.BATCH_BYTES
    assert [row.row for row in rows.page(-1, 100)[0]] == [*range(40)]


def test_files_from_before_rows_carried_more_are_read(tmp_path: Path) -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    table = pa.table({
        "row": pa.array([0, 1]),
        "messages": pa.array([[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]] * 2, pa.list_(message)),
        "split": ["train", "test"],
        "hash": ["a", "b"],
        "line": [1, 2],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "old.parquet")
    rows = RowPages(tmp_path / "old.parquet", tmp_path / "pages" / "old")
    assert [(row.row, row.split, row.texts) for row in rows.page(-1, 5)[0]] == [(0, "train", ["Hi", "Ho"]), (1, "test", ["Hi", "Ho"])]
    assert rows.search("ho", -1, 5) == ([0, 1], False)


def test_the_store_drops_the_pages_with_their_rows_and_counts_them_in_its_cache(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store")
    made = stored(storage.incoming, [said("Is this kept?")])
    sealed = storage.seal(made.path)
    storage.put(sealed)
    rows = storage.rows(sealed.sha256)
    assert rows.page(-1, 1)[0][0].texts == ["Is this kept?", "Yes."]
    assert {entry.path for entry in storage.entries()} == {storage.path(sealed.sha256), rows.pages}
    storage.remove(sealed.sha256)
    assert list(storage.entries()) == []


def test_pages_of_rows_that_are_removed_meanwhile_do_not_stay(numbered: RowPages, monkeypatch: pytest.MonkeyPatch) -> None:
    really = rows_of._copy

    def removed(path: Path, target: object) -> None:
        really(path, target)
        path.unlink()

    monkeypatch.setattr(rows_of, "_copy", removed)
    with pytest.raises(FileNotFoundError):
        numbered.page(0, 1)
    assert list(numbered.pages.parent.iterdir()) == []
