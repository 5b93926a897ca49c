from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.calls import MOST_PASSED, Passed, passed, with_values

VALUES = st.recursive(st.text() | st.integers(0) | st.booleans() | st.none() | st.floats(), st.lists, max_leaves=5)


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": "look", "arguments": arguments}}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (r'{"who": "Ren\u00e9e \"R\"", "in": ["a", 47, 1.5, -3, true]}', [("who", 'Renée "R"'), ("in", "a"), ("in", "47")]),
        ('{"a": {"b": "c"}, "d" : "e"}', [("b", "c"), ("d", "e")]),
        ({"a": "b"}, [("a", "b")]),
        ('["a"]', [("", "a")]),
        ('{"a": "b', [("a", '"b')]),
        ("", []),
    ],
)
def test_texts_and_whole_numbers_are_passed_under_their_names(arguments: Any, found: list[tuple[str, str]]) -> None:
    assert passed([call(arguments)]) == [Passed(*each) for each in found]


@given(st.dictionaries(st.text(), VALUES), st.booleans())
def test_values_that_are_not_changed_stay_as_they_are_written(arguments: dict[str, Any], is_ascii: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    calls = [call(json.dumps(arguments, ensure_ascii=is_ascii))]
    assert with_values(calls, str) == calls


@given(st.dictionaries(st.text(), VALUES))
def test_each_value_can_be_changed_and_nothing_else_is(arguments: dict[str, Any]) -> None:
    (before,) = (call(json.dumps(arguments)),)
    (after,) = with_values([before], lambda text: f"<{text}>")
    assert [value.text for value in passed([after])] == [f"<{value.text}>" for value in passed([before])]
    assert [value.name for value in passed([after])] == [value.name for value in passed([before])]
    assert list(json.loads(after["function"]["arguments"])) == list(arguments)


@pytest.mark.parametrize("end", ["", "\\"])
def test_a_text_that_is_not_closed_is_one_value_however_many_quotes_stand_in_it(end: str) -> None:
    broken = '"' + '\\"' * 100_000 + end
    assert passed([call(broken)]) == [Passed("", broken)]
    assert with_values([call(broken)], lambda text: str(len(text))) == [call(str(len(broken)))]


def test_calls_without_arguments_pass_nothing_and_stay() -> None:
    calls: list[dict[str, Any]] = [{"id": "1"}, {"function": {"name": "look"}}]
    assert passed(calls) == []
    assert with_values(calls, str.upper) == calls


def test_of_very_many_values_some_are_looked_at() -> None:
    assert len(passed([call(json.dumps(list(range(3 * MOST_PASSED))))] * 2)) == MOST_PASSED
