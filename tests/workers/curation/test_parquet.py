from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.datasets import Example, Split, Turn, row_hash, side_by_hash, split_by_hash
from workers.curation import parquet
from workers.curation.parquet import SCHEMA, RowBlock, RowWriter, conversations


def turns(number: int) -> list[Turn]:
    return [Turn("user", f"question {number}"), Turn("assistant", f"answer {number}")]


def write(out: Path, numbers: list[int]) -> RowWriter:
    with RowWriter(out) as writer:
        for place, number in enumerate(numbers):
            writer.add(Example(turns(number)), place + 1)
        assert writer.finish() == hashlib.sha256(out.read_bytes()).hexdigest()
    return writer


def test_rows_come_back_in_groups_of_five_thousand(tmp_path: Path) -> None:
    write(tmp_path / "rows", list(range(12_000)))
    with pq.ParquetFile(tmp_path / "rows") as file:
        assert file.schema_arrow == SCHEMA
        assert [file.metadata.row_group(group).num_rows for group in range(3)] == [5_000, 5_000, 2_000]
        assert file.metadata.row_group(0).column(0).compression == "UNCOMPRESSED"
        last = file.read().to_pylist()[-1]
    assert (last["row"], last["line"], last["hash"]) == (11_999, 12_000, row_hash(turns(11_999)))
    assert last["messages"][1] | {"role": "assistant", "content": "answer 11999"} == last["messages"][1]


def test_long_rows_make_smaller_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100)
    write(tmp_path / "rows", list(range(20)))
    with pq.ParquetFile(tmp_path / "rows") as file:
        assert file.metadata.num_row_groups > 2
        assert file.read(columns=["row"]).column(0).to_pylist() == list(range(20))


LONG = "x" * 60
ODDLY_LONG = {
    "question": Example([Turn("user", LONG), Turn("assistant", "a")]),
    "worse answer": Example(turns(1), rejected=[Turn("user", "q"), Turn("assistant", LONG)]),
    "tools": Example(turns(1), tools=LONG),
    "calls": Example([Turn("user", "q"), Turn("assistant", "", tool_calls=LONG)]),
    "name": Example([Turn("user", "q", name=LONG), Turn("assistant", "a")]),
}


@pytest.mark.parametrize("where", ODDLY_LONG)
def test_whatever_is_long_in_rows_makes_smaller_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 5 * len(LONG))
    with RowWriter(tmp_path / "rows") as writer:
        for line in range(1, 21):
            writer.add(ODDLY_LONG[where], line)
        writer.finish()
    with pq.ParquetFile(tmp_path / "rows") as file:
        assert file.metadata.num_rows == 20
        assert max(file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)) <= 5


@pytest.mark.parametrize("numbers", [[1], [1, 1], [1, 2], [1, 2, 2], list(range(40)), list(range(3_000))])
def test_the_split_is_that_of_the_domain_however_few_rows_there_are(tmp_path: Path, numbers: list[int]) -> None:
    writer = write(tmp_path / "rows", numbers)
    table = pq.read_table(tmp_path / "rows")
    splits = split_by_hash([row_hash(turns(number)) for number in numbers])
    assert table.column("split").to_pylist() == splits
    assert writer.counts == {Split.TRAIN: splits.count(Split.TRAIN), Split.TEST: splits.count(Split.TEST)}
    assert table.schema == SCHEMA


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    write(tmp_path / "one", [1, 2, 3])
    write(tmp_path / "two", [1, 2, 3])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_nothing_stays_when_it_was_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    with RowWriter(tmp_path / "rows") as writer:
        writer.add(Example(turns(1)), 1)
        assert [file.name for file in tmp_path.iterdir()] == ["rows.part"]
    assert list(tmp_path.iterdir()) == []


def test_without_rows_there_is_no_file(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows") as writer:
        assert writer.finish() is None
    assert list(tmp_path.iterdir()) == []


def test_what_methods_want_besides_comes_back_and_changes_the_hash(tmp_path: Path) -> None:
    plain = Example(turns(1))
    compared = Example(turns(1), rejected=[Turn("assistant", "worse")])
    judged = Example([Turn("user", "q"), Turn("assistant", "", '[{"id":"1"}]', weight=0)], label=True, tools="[]")
    with RowWriter(tmp_path / "rows") as writer:
        for place, each in enumerate((plain, compared, judged)):
            writer.add(each, place + 1, file=place)
        writer.finish()
    rows = pq.read_table(tmp_path / "rows").to_pylist()
    assert [row["rejected"] and row["rejected"][0]["content"] for row in rows] == [None, "worse", None]
    assert [row["label"] for row in rows] == [None, None, True]
    assert [row["file"] for row in rows] == [0, 1, 2]
    assert rows[2]["messages"][1]["tool_calls"] == '[{"id":"1"}]'
    assert rows[2]["messages"][1]["weight"] == 0
    assert len({row["hash"] for row in rows}) == 3


def test_a_split_that_the_files_give_is_kept(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows") as writer:
        for number in range(40):
            writer.add(Example(turns(number), split=Split.TEST if number % 2 else Split.TRAIN), number + 1)
        writer.finish()
    assert pq.read_table(tmp_path / "rows").column("split").to_pylist() == ["train", "test"] * 20
    assert writer.counts == {Split.TRAIN: 20, Split.TEST: 20}


def test_rows_that_are_all_called_training_rows_are_split_by_hash(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows") as writer:
        for number in range(200):
            writer.add(Example(turns(number), split=Split.TRAIN), number + 1)
        assert writer.finish() == hashlib.sha256((tmp_path / "rows").read_bytes()).hexdigest()
    splits = split_by_hash([row_hash(turns(number)) for number in range(200)])
    assert pq.read_table(tmp_path / "rows").column("split").to_pylist() == splits
    assert writer.counts[Split.TEST] == splits.count(Split.TEST)


def block_of(numbers: list[int]) -> RowBlock:
    spoken = [turn for number in numbers for turn in turns(number)]
    messages = conversations(
        pa.array([turn.role for turn in spoken]),
        pa.array([turn.content for turn in spoken]),
        pa.array(range(0, 2 * len(numbers) + 1, 2), pa.int32()),
    )
    hashes = [row_hash(turns(number)) for number in numbers]
    held_out = [side_by_hash(one) is Split.TEST for one in hashes]
    return RowBlock(pa.array([number + 1 for number in numbers], pa.int32()), messages, pa.array(hashes), pa.array(held_out))


def test_rows_that_were_read_together_are_written_as_those_that_came_one_by_one(tmp_path: Path) -> None:
    alone = write(tmp_path / "alone", list(range(9_000)))
    with RowWriter(tmp_path / "together") as writer:
        for number in range(10):
            writer.add(Example(turns(number)), number + 1)
        block = block_of([*range(10, 9_000)])
        for start, stop in ((0, 7_000), (7_000, 7_001), (7_001, 8_990)):
            writer.add_block(block.between(start, stop))
        assert writer.rows == 9_000
        writer.finish()
    assert pq.read_table(tmp_path / "together").equals(pq.read_table(tmp_path / "alone"))
    assert writer.counts == alone.counts


def test_a_side_that_was_given_for_a_block_is_kept(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows") as writer:
        writer.add_block(block_of([*range(30)]), 1, Split.TEST)
        writer.add_block(block_of([*range(30, 50)]), 2, Split.TRAIN)
        writer.finish()
    table = pq.read_table(tmp_path / "rows")
    assert table.column("split").to_pylist() == ["test"] * 30 + ["train"] * 20
    assert table.column("file").to_pylist() == [1] * 30 + [2] * 20
    assert writer.counts == {Split.TRAIN: 20, Split.TEST: 30}


def test_what_goes_wrong_while_rows_are_packed_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with RowWriter(tmp_path / "rows") as writer:
        writer.add(Example(turns(1)), 1)
        monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match="No space left"):
            writer.finish()
    assert list(tmp_path.iterdir()) == []
