"""Masks that stand for personal data: the same within a row, and undone only with the map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.masking import KINDS, MASKED_UNASKED, Span, mask, unmask


def spans(text: str, *values: tuple[str, str]) -> list[Span]:
    """Find each value after the one before it."""
    found, at = [], 0
    for value, kind in values:
        start = text.index(value, at)
        at = start + len(value)
        found.append(Span(start, at, kind))
    return found


def test_one_value_of_a_kind_gets_a_bare_mask() -> None:
    text = "My name is John Smith and my ID is 12345"
    masked, meaning = mask([text], [spans(text, ("John Smith", "NAME"), ("12345", "ID"))])
    assert masked == ["My name is [NAME] and my ID is [ID]"]
    assert meaning == {"[NAME]": "John Smith", "[ID]": "12345"}
    assert unmask(masked[0], meaning) == text


def test_several_values_of_a_kind_are_numbered_as_they_come() -> None:
    text = "Ann wrote to Ben, and Ben to Ann"
    masked, meaning = mask([text], [spans(text, ("Ann", "NAME"), ("Ben", "NAME"), ("Ben", "NAME"), ("Ann", "NAME"))])
    assert masked == ["[NAME_1] wrote to [NAME_2], and [NAME_2] to [NAME_1]"]
    assert unmask(masked[0], meaning) == text


def test_a_value_keeps_its_mask_in_every_text_of_the_row() -> None:
    question, answer = "I am Ann, ann@example.org", "Hello Ann, we wrote to Ann@Example.org; ask for Ben."
    found = [
        spans(question, ("Ann", "NAME"), ("ann@example.org", "EMAIL")),
        spans(answer, ("Ann", "NAME"), ("Ann@Example.org", "EMAIL"), ("Ben", "NAME")),
    ]
    masked, _ = mask([question, answer], found)
    assert masked == ["I am [NAME_1], [EMAIL]", "Hello [NAME_1], we wrote to [EMAIL]; ask for [NAME_2]."]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("NAME", "John Smith", "JOHN  SMITH"),
        ("NAME", "John Smith", "John"),
        ("NAME", "John Smith", "Smith"),
        ("PHONE", "+44 20 7946-0000", "+442079460000"),
        ("CARD", "4111 1111 1111 1111", "4111111111111111"),
        ("ADDRESS", "1 High Street, Leeds", "1 high street\nLeeds"),
    ],
)
def test_values_that_read_alike_are_one(kind: str, first: str, second: str) -> None:
    masked, meaning = mask([first, second], [[Span(0, len(first), kind)], [Span(0, len(second), kind)]])
    assert masked == [f"[{kind}]", f"[{kind}]"]
    assert meaning == {f"[{kind}]": first}


def test_a_part_of_two_names_is_a_value_of_its_own() -> None:
    texts = ["John Smith", "John Miller", "John"]
    masked, _ = mask(texts, [[Span(0, len(text), "NAME")] for text in texts])
    assert masked == ["[NAME_1]", "[NAME_2]", "[NAME_3]"]


def test_secrets_that_differ_in_case_are_two() -> None:
    masked, _ = mask(["aB3", "ab3"], [[Span(0, 3, "SECRET")], [Span(0, 3, "SECRET")]])
    assert masked == ["[SECRET_1]", "[SECRET_2]"]


def test_nothing_inside_a_mask_is_masked() -> None:
    text = "[NAME] met Ann at [DATE_OF_BIRTH_2]"
    masked, meaning = mask([text], [[Span(1, 5, "NAME"), *spans(text, ("Ann", "NAME")), Span(18, 22, "ID")]])
    assert masked == ["[NAME] met [NAME_1] at [DATE_OF_BIRTH_2]"]
    assert unmask(masked[0], meaning) == text


def test_a_number_that_a_text_already_uses_is_left_out() -> None:
    texts = ["[NAME_1] knows Ann", "Ben"]
    masked, meaning = mask(texts, [[Span(15, 18, "NAME")], [Span(0, 3, "NAME")]])
    assert masked == ["[NAME_1] knows [NAME_2]", "[NAME_3]"]
    assert [unmask(text, meaning) for text in masked] == texts


def test_overlapping_and_empty_spans_do_no_harm() -> None:
    masked, _ = mask(["Ann Lee"], [[Span(4, 7, "NAME"), Span(0, 5, "NAME"), Span(2, 2, "ID")]])
    assert masked == ["[NAME]ee"]


def test_brackets_without_a_meaning_stay() -> None:
    assert unmask("see [1] and [NAME_7]", {"[NAME]": "Ann"}) == "see [1] and [NAME_7]"


def test_links_alone_are_left_unless_asked_for() -> None:
    assert set(KINDS) - MASKED_UNASKED == {"URL"}


VALUES = st.text("abXY[]_1 NAME", min_size=1, max_size=8)


@given(st.lists(st.tuples(VALUES, VALUES, st.sampled_from(["SECRET", "URL"])), min_size=1, max_size=6))
def test_what_was_masked_comes_back_exactly(parts: list[tuple[str, str, str]]) -> None:
    texts = [before + value for before, value, _ in parts]
    found = [[Span(len(before), len(before) + len(value), kind)] for before, value, kind in parts]
    masked, meaning = mask(texts, found)
    assert [unmask(text, meaning) for text in masked] == texts
