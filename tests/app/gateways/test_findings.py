"""Pages, groups and selections out of a findings file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.domain.errors import Invalid
from app.domain.fixes import Balance, Drop, DropLonger, Fill, KeepBest, Mask, Mend, Repair
from app.domain.problems import BITS, Finding, Mark, Trouble
from app.gateways import findings
from app.gateways.findings import Findings
from workers.curation import findings_file
from workers.curation.findings_file import MarkColumns, words, write_findings


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_file, "ROWS_OF_A_BATCH", 4)


def written(folder: Path, rows: int, *, marks: list[tuple[int, Mark]] = [], below: int = 2**32, **columns: Any) -> Findings:  # noqa: B006 - read only
    """Write a findings file in which nothing was found but what is given."""
    alone, zeros = np.full(rows, -1, np.int64), np.zeros(rows, np.int32)
    plain: dict[str, Any] = {
        "flags": zeros.astype(np.uint32), "tokens": zeros, "answer_tokens": zeros, "exact": alone, "near": alone, "other_answer": alone,
        "keep": np.ones(rows, np.bool_), "leak_of": alone, "draw": np.arange(rows, dtype=np.uint32),
    }  # fmt: skip
    coded = {name: columns.pop(name, [None] * rows) for name in ("label", "language")}
    plain |= {name: np.array(column, plain[name].dtype) for name, column in columns.items()}
    for name, column in coded.items():
        meaning = sorted({word for word in column if word})
        numbers = np.array([meaning.index(word) if word else -1 for word in column], np.int16)
        plain[name] = words(numbers, meaning, nothing=-1)
    kinds = sorted({mark.kind for _, mark in marks})
    flat = np.array([(row, mark.turn, mark.start, mark.end, kinds.index(mark.kind)) for row, mark in marks], np.int64).reshape(-1, 5).T
    numbers_of_marks = dict(zip(("row", "turn", "start", "end", "kind"), flat, strict=True))
    numbers_of_marks |= {name: numbers_of_marks[name].astype(np.int32) for name in ("turn", "start", "end")}
    write_findings(folder / "findings.arrow", plain, MarkColumns(numbers_of_marks, kinds, rows), looked_through_below=below)
    return Findings(folder / "findings.arrow")


def flagged(rows: int, trouble: Trouble, *which: int) -> list[int]:
    return [BITS[trouble] if row in which else 0 for row in range(rows)]


def test_rows_with_a_problem_are_paged_by_number(tmp_path: Path) -> None:
    read = written(tmp_path, 11, flags=flagged(11, Trouble.PII, 1, 3, 4, 9))
    assert read.rows == 11
    assert read.page(Trouble.PII, after=-1, limit=2) == ([1, 3], True)
    assert read.page(Trouble.PII, after=3, limit=2) == ([4, 9], False)
    assert read.page(Trouble.SECRET, after=-1, limit=2) == ([], False)
    assert read.page(None, after=7, limit=2) == ([8, 9], True)
    assert read.page(None, after=9, limit=2) == ([10], False)


def test_counts_name_the_problems_there_are(tmp_path: Path) -> None:
    read = written(tmp_path, 5, flags=flagged(5, Trouble.LEAK, 0, 4), tokens=[1, 20, 300, 4000, 50_000])
    assert read.counts() == {Trouble.LEAK: 2}
    assert read.counts(max_tokens=300) == {Trouble.LEAK: 2, Trouble.TOO_LONG: 2}
    assert read.page(Trouble.TOO_LONG, after=-1, limit=9, max_tokens=300) == ([3, 4], False)


def test_what_was_found_in_rows_comes_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    marks = [(1, Mark(0, 2, 5, "NAME")), (1, Mark(1, 0, 4, "EMAIL")), (9, Mark(0, 1, 2, "ID"))]
    flags = flagged(10, Trouble.PII, 1, 9)
    read = written(tmp_path, 10, marks=marks, flags=flags, label=["a"] * 9 + [None], language=["en", None] * 5, tokens=range(10))
    last, first, none = read.of([9, 1, 4])
    assert last == Finding(9, (Trouble.PII,), tokens=9, marks=(marks[2][1],))
    assert first == Finding(1, (Trouble.PII,), tokens=1, marks=(marks[0][1], marks[1][1]), label="a")
    assert none == Finding(4, tokens=4, label="a", language="en")


def test_the_longest_and_the_shortest_rows_are_named(tmp_path: Path) -> None:
    assert sorted(written(tmp_path, 6, tokens=[5, 9, 1, 7, 3, 8]).extremes(2)) == [1, 2, 4, 5]


def test_a_file_without_rows_is_read(tmp_path: Path) -> None:
    read = written(tmp_path, 0)
    assert (read.rows, read.counts(), read.page(None, after=-1, limit=5), read.of([])) == (0, {}, ([], False), [])
    assert read.page(Trouble.PII, after=-1, limit=5) == ([], False)


def test_groups_come_side_by_side_with_the_row_to_keep(tmp_path: Path) -> None:
    near = [0, -1, 0, 3, 3, -1, 3]
    keep = [False, True, True, True, False, True, False]
    read = written(tmp_path, 7, near=near, keep=keep, flags=flagged(7, Trouble.NEAR_DUPLICATE, 0, 4, 6))
    assert read.groups(Trouble.NEAR_DUPLICATE, after=-1, limit=1) == [([0, 2], 2)]
    assert read.groups(Trouble.NEAR_DUPLICATE, after=0, limit=5) == [([3, 4, 6], 3)]


def test_a_leak_comes_with_the_training_row_it_repeats(tmp_path: Path) -> None:
    read = written(tmp_path, 6, leak_of=[-1, -1, -1, -1, 2, -1], flags=flagged(6, Trouble.LEAK, 4))
    assert read.groups(Trouble.LEAK, after=-1, limit=5) == [([2, 4], 2)]


def test_problems_without_groups_say_so(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="personal data are in no groups"):
        written(tmp_path, 3).groups(Trouble.PII, after=-1, limit=5)


def dropped(read: Findings, fix: Any) -> list[int]:
    return [int(row) for row in np.flatnonzero(read.select(fix).drop)]


def test_rows_with_a_problem_are_left_out_or_only_some_of_them(tmp_path: Path) -> None:
    read = written(tmp_path, 9, flags=flagged(9, Trouble.LEAK, 2, 5, 8))
    assert dropped(read, Drop(problem=Trouble.LEAK)) == [2, 5, 8]
    assert dropped(read, Drop(problem=Trouble.LEAK, rows=[5, 6, 4000])) == [5]


def test_of_each_group_or_of_some_groups_the_best_stays(tmp_path: Path) -> None:
    near, keep = [0, 0, -1, 3, 3, 3], [False, True, True, True, False, False]
    read = written(tmp_path, 6, near=near, keep=keep)
    assert dropped(read, KeepBest(problem=Trouble.NEAR_DUPLICATE)) == [0, 4, 5]
    assert dropped(read, KeepBest(problem=Trouble.NEAR_DUPLICATE, rows=[4])) == [4, 5]
    assert dropped(read, KeepBest(problem=Trouble.NEAR_DUPLICATE, rows=[2])) == []


def test_copies_go_but_for_one(tmp_path: Path) -> None:
    read = written(tmp_path, 4, exact=[0, 0, -1, 0], flags=flagged(4, Trouble.EXACT_DUPLICATE, 1, 3))
    assert dropped(read, KeepBest(problem=Trouble.EXACT_DUPLICATE)) == [1, 3]
    assert read.groups(Trouble.EXACT_DUPLICATE, after=-1, limit=5) == [([0, 1, 3], 0)]


def test_of_different_answers_the_most_frequent_label_stays(tmp_path: Path) -> None:
    read = written(tmp_path, 5, other_answer=[0, 0, 0, -1, -1], label=["b", "a", "a", "c", None], answer_tokens=[9, 1, 1, 1, 1])
    assert dropped(read, KeepBest(problem=Trouble.OTHER_ANSWER)) == [0, 2]


def test_of_different_answers_in_prose_the_longest_stays(tmp_path: Path) -> None:
    read = written(tmp_path, 4, other_answer=[0, 0, -1, 0], answer_tokens=[3, 7, 90, 7])
    assert dropped(read, KeepBest(problem=Trouble.OTHER_ANSWER)) == [0, 3]


def test_labels_are_balanced_by_chance_that_stays_the_same(tmp_path: Path) -> None:
    read = written(tmp_path, 7, label=["a", "a", "a", "b", "a", None, "b"], draw=[5, 1, 9, 4, 1, 0, 3])
    assert dropped(read, Balance(most=2)) == [0, 2]
    assert dropped(read, Balance(most=1)) == [0, 2, 3, 4]


def test_longer_rows_are_left_out(tmp_path: Path) -> None:
    assert dropped(written(tmp_path, 3, tokens=[10, 11, 12]), DropLonger(tokens=11)) == [2]


def touched(read: Findings, fix: Any) -> list[int]:
    return [int(row) for row in np.flatnonzero(read.select(fix).touch)]


def test_what_is_masked_filled_or_repaired_is_only_touched(tmp_path: Path) -> None:
    marks = [(1, Mark(0, 0, 4, "NAME")), (3, Mark(0, 0, 3, "URL")), (5, Mark(0, 0, 8, "PLACEHOLDER")), (6, Mark(0, 0, 8, "SECRET"))]
    read = written(tmp_path, 8, marks=marks, flags=flagged(8, Trouble.MOJIBAKE, 7))
    assert touched(read, Mask(problem=Trouble.PII)) == [1]
    assert touched(read, Mask(problem=Trouble.PII, kinds=["URL"])) == [3]
    assert touched(read, Mask(problem=Trouble.PII, rows=[0, 3])) == []
    assert touched(read, Mask(problem=Trouble.SECRET)) == [6]
    assert touched(read, Fill(values={"{{name}}": "Ada"})) == [5]
    assert touched(read, Repair(problem=Trouble.MOJIBAKE)) == [7]


def test_rows_outside_the_sample_may_hold_personal_data_too(tmp_path: Path) -> None:
    read = written(tmp_path, 4, draw=[1, 50, 2, 99], below=50)
    assert read.unread.tolist() == [False, True, False, True]
    assert touched(read, Mask(problem=Trouble.PII)) == [1, 3]
    assert touched(read, Mask(problem=Trouble.SECRET)) == []


def test_rows_that_were_set_aside_and_lengths_without_a_limit_are_refused(tmp_path: Path) -> None:
    read = written(tmp_path, 3)
    with pytest.raises(Invalid, match="set aside"):
        read.select(Drop(problem=Trouble.BROKEN))
    with pytest.raises(Invalid, match="how many tokens"):
        read.select(Drop(problem=Trouble.TOO_LONG))
    assert touched(read, Mend(number=1, text="{}")) == dropped(read, Mend(number=1, text="{}")) == []


def test_the_groups_of_the_gateway_are_columns_of_the_file() -> None:
    assert set(findings.GROUPS.values()) <= set(findings_file.SCHEMA.names)
