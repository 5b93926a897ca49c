from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Invalid
from workers.curation import source, table_rows
from workers.curation.dialects import Dialect
from workers.curation.rows import Aside, RawRow
from workers.curation.source import physical_lines
from workers.curation.table_rows import Table


def read(text: str | bytes, delimiter: str = ",", block: int = 5) -> tuple[list[str], list[RawRow | Aside]]:
    content = text.encode() if isinstance(text, str) else text
    table = Table(physical_lines(content[start : start + block] for start in range(0, len(content), block)), Dialect(delimiter))
    return table.columns, list(table)


def lines_of(found: list[RawRow | Aside], kind: type) -> list[int]:
    return [each.line for each in found if isinstance(each, kind)]


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))


@given(st.lists(st.tuples(CELL, CELL), min_size=1), st.sampled_from(["\n", "\r\n"]), st.integers(1, 40))
def test_what_a_csv_writer_wrote_comes_back(rows: list[tuple[str, str]], end: str, block: int) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("question", "answer"), *rows])
    _, found = read(buffer.getvalue(), block=block)
    assert [tuple(each.cells.values()) for each in found if isinstance(each, RawRow)] == rows


def test_a_row_stands_on_the_physical_line_where_it_starts() -> None:
    _, found = read('a,b\r\n1,"two\r\nlines"\r\n\r\n3,4\r\n')
    assert [(each.line, each.cells) for each in found if isinstance(each, RawRow)] == [
        (2, {"a": "1", "b": "two\nlines"}),
        (5, {"a": "3", "b": "4"}),
    ]


def test_a_wrong_number_of_columns_is_set_aside() -> None:
    _, found = read("a,b\n1,2,3\n1\n1,2\n")
    assert [each.reason for each in found if isinstance(each, Aside)] == [
        "3 columns where the header has 2",
        "1 column where the header has 2",
    ]
    assert lines_of(found, RawRow) == [4]


def test_an_unclosed_quote_costs_its_own_row_only() -> None:
    _, found = read('a,b\n1,"oops\n3,4\n5,6\n')
    assert (lines_of(found, Aside), lines_of(found, RawRow)) == ([2], [3, 4])


def test_an_unclosed_quote_before_quoted_rows_costs_its_own_row_only() -> None:
    _, found = read('a,b\n1,"oops\n3,"four"\n5,"six"\n')
    assert (lines_of(found, Aside), lines_of(found, RawRow)) == ([2], [3, 4])


def test_untidy_quotes_inside_a_line_are_read_as_they_stand() -> None:
    _, found = read('a,b\n"so" it goes,say "hi"\n')
    assert [each.cells for each in found if isinstance(each, RawRow)] == [{"a": "so it goes", "b": 'say "hi"'}]


def test_tab_separated_lines_may_hold_lone_quotes() -> None:
    _, found = read('a\tb\nham\t"oh, well\nspam\t"win" now\nham\t"why\n', "\t")
    assert [each.cells["b"] for each in found if isinstance(each, RawRow)] == ['"oh, well', "win now", '"why']


def test_columns_without_a_name_or_with_the_same_get_one_of_their_own() -> None:
    assert read("v1,v2,,,v1\n")[0] == ["v1", "v2", "column 3", "column 4", "v1 (5)"]


def test_a_bad_line_inside_a_quoted_cell_costs_the_whole_row_and_no_other() -> None:
    _, found = read(b'a,b\n"hi","line one\nbad \xff line\nyes, line three"\n3,4\n')
    assert [(each.line, each.reason) for each in found if isinstance(each, Aside)] == [(2, "on line 3, byte 0xFF is not UTF-8 (column 5)")]
    assert lines_of(found, RawRow) == [5]


def test_a_bad_line_that_opens_a_quoted_cell_does_not_leave_the_rest_of_it_as_rows() -> None:
    _, found = read(b'a,b\n"hi","bad \xff line\nyes, line two"\n3,4\n')
    assert (lines_of(found, Aside), lines_of(found, RawRow)) == ([2], [4])


def test_a_line_too_long_inside_a_quoted_cell_is_not_cut_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 20)
    _, found = read('a,b\n"hi","one\n' + "x" * 30 + '\nthree"\n3,4\n')
    assert (lines_of(found, Aside), lines_of(found, RawRow)) == ([2], [5])


def test_lines_that_are_not_utf_8_or_hold_a_nul_are_set_aside() -> None:
    _, found = read(b"a,b\n1,\xff\n1,\0\n1,2\n")
    assert (lines_of(found, Aside), lines_of(found, RawRow)) == ([2, 3], [4])


def test_a_line_too_long_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 50)
    _, found = read("a,b\n1," + "x" * 300 + "\n1,2\n")
    assert (lines_of(found, Aside), lines_of(found, RawRow)) == ([2], [3])


def test_a_row_over_many_lines_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "MAX_LINE_BYTES", 100)
    _, found = read('a,b\n1,"' + "x\n" * 200 + '"\n3,4\n')
    assert isinstance(found[0], Aside)
    assert (found[0].line, found[0].reason) == (2, "a quote is opened and not closed where it should be")
    assert lines_of(found, RawRow) == [203]


@pytest.mark.parametrize("header", [b"a,\xff\n1,2\n", b'a,"b\n1,2\n', b"a," * 10_001 + b"b\n"])
def test_a_header_that_cannot_be_read_is_said_so(header: bytes) -> None:
    with pytest.raises(Invalid, match=r"The table's header \(line 1\) cannot be read"):
        read(header)


def test_a_file_without_any_line_has_no_columns() -> None:
    assert read("") == ([], [])
