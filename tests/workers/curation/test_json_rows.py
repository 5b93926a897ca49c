from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.curation import json_rows
from workers.curation.json_rows import document_rows
from workers.curation.rows import Aside, RawRow

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
CELLS = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1)


def in_blocks(text: str, size: int) -> Iterator[bytes]:
    content = text.encode()
    return (content[start : start + size] for start in range(0, len(content), size))


def rows_and_problems(text: str, size: int = 7) -> tuple[list[tuple[int, dict[str, Any]]], list[tuple[int, str]]]:
    found = list(document_rows(in_blocks(text, size)))
    rows = [(each.line, each.cells) for each in found if isinstance(each, RawRow)]
    return rows, [(each.line, each.reason) for each in found if isinstance(each, Aside)]


@given(st.lists(CELLS), st.integers(1, 50), st.sampled_from([None, 0, 2]))
def test_an_array_gives_its_elements_however_it_is_cut_into_blocks(rows: list[dict[str, Any]], size: int, indent: int | None) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=False)
    found, problems = rows_and_problems(text, size)
    assert [cells for _, cells in found] == [json.loads(json.dumps(row)) for row in rows]
    assert problems == []


def test_each_row_knows_the_line_it_starts_on() -> None:
    found, _ = rows_and_problems('\n[\n  {"a": 1},\n  {\n    "a": 2\n  },\n\n  {"a": 3}\n]\n')
    assert found == [(3, {"a": 1}), (4, {"a": 2}), (8, {"a": 3})]


def test_a_broken_element_costs_only_itself_where_elements_begin_their_lines() -> None:
    found, problems = rows_and_problems('[\n  {\n    "a": 1\n  },\n  {\n    "a": oops\n  },\n  {\n    "a": 3\n  }\n]')
    assert found == [(2, {"a": 1}), (8, {"a": 3})]
    assert problems == [(5, "not valid JSON: a value is missing (line 6, column 10)")]


def test_a_missing_comma_costs_nothing_and_is_told() -> None:
    found, problems = rows_and_problems('[{"a": 1}\n {"a": 2}]')
    assert [line for line, _ in found] == [1, 2]
    assert problems == [(2, "not valid JSON: there is no comma before this element")]


@pytest.mark.parametrize("text", ['[{"a": 1}, {"b', '[{"a": 1}, oops, {"b": 2}]', '[{"a": 1},]', '[{"a": 1}] x', '[{"a": 1}'])
def test_rows_before_a_break_are_kept_and_the_break_is_told(text: str) -> None:
    found, problems = rows_and_problems(text)
    assert found == [(1, {"a": 1})]
    assert len(problems) == 1


def test_lists_inside_an_object_are_read_as_rows() -> None:
    found, problems = rows_and_problems('{"version": 1, "train": [["hi", "greet"]],\n"test": [{"a": 1}], "empty": []}')
    assert found == [(1, {"column 1": "hi", "column 2": "greet"}), (2, {"a": 1})]
    assert problems == []


def test_a_lone_row_is_a_file_of_one_row() -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert rows_and_problems(json.dumps(row, indent=1)) == ([(1, row)], [])


def test_what_is_no_object_is_named() -> None:
    _, problems = rows_and_problems("[1, null, true, {}, [[1]], []]")
    reasons = ["a number", "null", "true or false", "an empty object", "a list", "a list"]
    assert [reason.removeprefix("valid JSON, but no row: ") for _, reason in problems] == reasons


def test_a_list_of_texts_is_texts_to_learn_but_a_lone_text_is_no_dataset() -> None:
    assert rows_and_problems('["a",\n"b"]') == ([(1, {"text": "a"}), (2, {"text": "b"})], [])
    assert rows_and_problems('"a"') == ([], [(1, "valid JSON, but no row: a lone value")])


def test_rows_remember_the_list_they_stood_in() -> None:
    found = list(document_rows(in_blocks('{"train": [["hi", "greet"]], "test": [{"a": 1}]}', 9)))
    assert [each.side for each in found if isinstance(each, RawRow)] == ["train", "test"]


def test_of_a_key_that_stands_twice_the_last_one_counts_and_it_is_told() -> None:
    found = list(document_rows(in_blocks('[{"a": 1, "b": 0, "a": 2}]', 4)))
    assert [(each.cells, each.doubled) for each in found if isinstance(each, RawRow)] == [({"a": 2, "b": 0}, "a")]


def test_bytes_that_are_not_utf_8_cost_their_row_only() -> None:
    found = list(document_rows([b'[{"a": "\xff"},\n{"a": "b"}]']))
    assert [type(each) for each in found] == [Aside, RawRow]


def test_an_element_too_long_is_skipped_without_being_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_LINE_BYTES", 100)
    found, problems = rows_and_problems('[\n{"a": 1},\n{"a": "' + "x" * 5_000 + '"},\n{"a": 2}\n]', 50)
    assert [line for line, _ in found] == [2, 4]
    assert problems == [(3, "a value is longer than 8 MiB")]
