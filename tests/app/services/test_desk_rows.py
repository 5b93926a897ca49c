"""Rows by what is wanted of them: filters that no index knows go on where the last page ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.domain.datasets import Message, Row, Split
from app.domain.problems import Finding, Trouble
from app.services import desk_rows, exports
from app.services.desk_rows import DeskRows, Wanted


class Rows:
    """A file of rows, every tenth of which is held out."""

    def __init__(self, count: int) -> None:
        self.rows = [
            Row(row=n, split=Split.TEST if n % 10 == 9 else Split.TRAIN, messages=[Message(role="text", content=f"Number {n}")])
            for n in range(count)
        ]

    def page(self, after: int, limit: int) -> tuple[list[Row], bool]:
        return self.rows[after + 1 : after + 1 + limit], after + 1 + limit < len(self.rows)

    def rows_at(self, numbers: Sequence[int]) -> list[Row]:
        return [self.rows[number] for number in numbers]

    def each(self, numbers: Iterable[int]) -> Iterator[Row]:
        return (self.rows[number] for number in numbers)

    def search(self, text: str, after: int, limit: int) -> tuple[list[int], bool]:
        found = [row.row for row in self.rows[after + 1 :] if text.casefold() in row.texts[0].casefold()]
        return found[:limit], len(found) > limit


class Odd:
    """Findings in which every odd row has personal data."""

    def page(self, _: Trouble | None, *, after: int, limit: int, max_tokens: int | None = None) -> tuple[list[int], bool]:
        assert max_tokens
        found = [number for number in range(after + 1, 3_000) if number % 2]
        return found[:limit], len(found) > limit

    def of(self, rows: Sequence[int]) -> list[Finding]:
        return [Finding(row) for row in rows]


def desk_of(count: int, *, is_checked: bool = False) -> DeskRows:
    """Return rows without a store."""
    made = object.__new__(DeskRows)
    made.file, made.findings = cast("Any", Rows(count)), cast("Any", Odd() if is_checked else None)
    made.dataset = cast("Any", SimpleNamespace(version=None, report={}))
    return made


def all_pages(rows: DeskRows, wanted: Wanted, limit: int) -> Iterator[list[int]]:
    after: int | None = -1
    while after is not None:
        page = rows.page(wanted, after=after, limit=limit)
        yield [looked.row.row for looked in page.rows]
        after = page.next_after


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), list(range(3_000))),
        (Wanted(split=Split.TEST), list(range(9, 3_000, 10))),
        (Wanted(q="NUMBER 29"), [n for n in range(3_000) if str(n).startswith("29")]),
        (Wanted(q="number 29", split=Split.TEST), [n for n in range(3_000) if str(n).startswith("29") and n % 10 == 9]),
        (Wanted(problem=Trouble.PII), list(range(1, 3_000, 2))),
        (
            Wanted(problem=Trouble.PII, q="number 29", split=Split.TEST),
            [n for n in range(3_000) if str(n).startswith("29") and n % 10 == 9],
        ),
    ],
)
@pytest.mark.parametrize("most", [400, 20_000])
def test_pages_together_hold_each_row_once_in_order(
    wanted: Wanted, expected: list[int], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_rows, "LOOKED_THROUGH_AT_MOST", most)
    pages = list(all_pages(desk_of(3_000, is_checked=True), wanted, 50))
    assert [row for page in pages for row in page] == expected
    assert max(map(len, pages)) <= 50


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(problem=Trouble.PII), Wanted(q="number"), Wanted(split=Split.TRAIN)])
def test_a_page_of_long_rows_is_short_and_the_next_one_goes_on(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = desk_of(3_000, is_checked=True)
    whole = [row for page in all_pages(rows, wanted, 500) for row in page]
    monkeypatch.setattr(desk_rows, "MOST_LETTERS", 100)  # each has eight to eleven
    pages = list(all_pages(rows, wanted, 500))
    assert [row for page in pages for row in page] == whole
    assert {len(page) for page in pages[:-1]} <= {10, 11, 12, 13}


def test_a_page_looks_through_so_many_rows_and_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_rows, "LOOKED_THROUGH_AT_MOST", 400)
    rows = desk_of(3_000)
    page = rows.page(Wanted(split=Split.TEST), after=-1, limit=200)
    assert (len(page.rows), page.next_after) == (44, 447)  # whole chunks are looked through


@pytest.mark.parametrize("is_checked", [False, True])
def test_rows_come_one_at_a_time_with_what_was_found_in_each(*, is_checked: bool) -> None:
    numbers = list(range(0, 300, 3))
    found = list(desk_of(300, is_checked=is_checked).each(numbers))
    assert [looked.row.row for looked in found] == numbers
    assert [looked.finding.row if looked.finding else None for looked in found] == (numbers if is_checked else [None] * 100)


def test_rows_with_a_problem_are_not_known_before_somebody_looked() -> None:
    page = desk_of(10).page(Wanted(problem=Trouble.PII), after=-1, limit=5)
    assert (page.rows, page.next_after) == ([], None)


def test_a_line_of_a_table_ends_only_where_the_row_ends() -> None:
    strange = "one\u2028two\x85three"
    line = json.dumps({"messages": [{"role": "user", "content": "=1+1"}, {"role": "assistant", "content": strange}]}, ensure_ascii=False)
    datasets = SimpleNamespace(get=lambda *_: SimpleNamespace(name="rows"), export=lambda *_, **__: iter([f"{line}\n".encode() * 2]))
    made = exports.export(cast("Any", datasets), cast("Any", None), "x", "csv")
    table = b"".join(made.content).decode("utf-8-sig").split("\r\n")
    assert (made.filename, len(table)) == ("rows.csv", 4)
    assert table[1] == f",'=1+1,{strange},,,,,"
