from __future__ import annotations

from typing import Any

import pytest

from app.domain.datasets import Mapping, Turn
from app.domain.errors import Invalid
from app.domain.examples import SetAside
from app.domain.guessing import guesses, suggest
from app.domain.mapping import apply, check_columns, flatten, has_columns, look_up

MAIL = {"subject": "Late", "body": "Where is it?", "answer": "Soon.", "n": 4.5, "flag": True, "nothing": None, "list": ["y"]}


def said(cells: dict[str, Any], **roles: str) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in apply(Mapping(**roles), cells).turns]


@pytest.mark.parametrize(
    ("roles", "turns"),
    [
        ({"user": "subject", "assistant": "answer"}, [("user", "Late"), ("assistant", "Soon.")]),
        ({"user": "{subject}\n\n{body}", "assistant": "answer"}, [("user", "Late\n\nWhere is it?"), ("assistant", "Soon.")]),
        ({"user": "{{{subject}}} {{no}}", "assistant": "answer"}, [("user", "{Late} {no}"), ("assistant", "Soon.")]),
        ({"user": "flag", "assistant": "n"}, [("user", "true"), ("assistant", "4.5")]),
        ({"user": "body", "assistant": "answer", "system": "nothing"}, [("user", "Where is it?"), ("assistant", "Soon.")]),
        ({"user": "body", "assistant": "answer", "system": "gone"}, [("user", "Where is it?"), ("assistant", "Soon.")]),
        (
            {"user": "body", "assistant": "answer", "system": "As of {n}:"},
            [("system", "As of 4.5:"), ("user", "Where is it?"), ("assistant", "Soon.")],
        ),
        ({"text": "# {subject}\n{body}"}, [("text", "# Late\nWhere is it?")]),
    ],
)  # fmt: skip - a mapping a line
def test_a_mapping_makes_turns_of_columns_and_of_texts_that_join_them(roles: dict[str, str], turns: list[tuple[str, str]]) -> None:
    assert said(MAIL, **roles) == turns


def test_a_column_whose_name_holds_braces_is_that_column() -> None:
    assert said({"{a}": "whole", "a": "part", "b": "x"}, user="{a}", assistant="b")[0] == ("user", "whole")


@pytest.mark.parametrize(
    ("cells", "why", "code"),
    [
        ({"q": "x"}, "no column 'a'", "broken"),
        ({"q": "x", "a": ["y"]}, "column 'a' holds no text but a list", "broken"),
        ({"q": {"z": 1}, "a": "y"}, "column 'q' holds no text but an object", "broken"),
        ({"q": "x", "a": ""}, "answer is empty", "empty_answer"),
        ({"q": None, "a": "y"}, "the user's turn is empty", "broken"),
    ],
)
def test_a_row_the_mapping_does_not_fit_says_why(cells: dict[str, Any], why: str, code: str) -> None:
    with pytest.raises(SetAside, match=why) as found:
        apply(Mapping(user="q", assistant="a"), cells)
    assert found.value.code == code


def test_a_worse_answer_makes_a_comparison() -> None:
    example = apply(Mapping(user="q", assistant="a", rejected="b"), {"q": "x", "a": "good", "b": "bad"})
    assert example.rejected == [Turn("assistant", "bad")]
    with pytest.raises(SetAside, match="the same"):
        apply(Mapping(user="q", assistant="a", rejected="b"), {"q": "x", "a": "good", "b": "good"})


@pytest.mark.parametrize(
    ("value", "liked"),
    [
        *[(value, True) for value in ("true", "1", 1, "Good", " yes ", "👍", True)],
        *[(value, False) for value in ("0", "bad", "No", 0, "👎", False)],
    ],
)
def test_a_judgement_may_be_written_in_many_ways(value: object, liked: bool) -> None:  # noqa: FBT001 - what is expected
    assert apply(Mapping(user="q", assistant="a", label="l"), {"q": "x", "a": "y", "l": value}).label is liked


def test_what_is_no_judgement_is_told() -> None:
    with pytest.raises(SetAside, match="'maybe', which is neither good nor bad"):
        apply(Mapping(user="q", assistant="a", label="l"), {"q": "x", "a": "y", "l": "maybe"})


def test_columns_that_are_not_there_are_named_beside_those_that_are() -> None:
    check_columns(Mapping(user="{a} {b}", assistant="c"), ["a", "b", "c"])
    with pytest.raises(Invalid, match="no column 'd'; there are: a, b, c") as found:
        check_columns(Mapping(user="{a} {d}", assistant="c"), ["a", "b", "c"])
    assert (found.value.param, found.value.code) == ("mapping.user", "unknown_column")
    with pytest.raises(Invalid, match="no column 'plain words'"):
        check_columns(Mapping(user="plain words", assistant="c"), ["a", "b", "c"])


def test_a_row_has_a_mappings_columns_or_not() -> None:
    mapping = Mapping(user="{a}{b}", assistant="c", system="s")
    assert has_columns({"a": 1, "b": 2, "c": 3}, mapping)
    assert not has_columns({"a": 1, "c": 3}, mapping)


def test_nested_values_have_dotted_names() -> None:
    cells = {"a": {"b": [{"c": 1}, 2]}, "d.e": 3, "f": [], "g": None}
    assert flatten(cells) == {"a.b.0.c": 1, "a.b.1": 2, "d.e": 3, "f": [], "g": None}
    assert [look_up(cells, name) for name in flatten(cells)] == list(flatten(cells).values())


@pytest.mark.parametrize(
    ("row", "question", "answer"),
    [
        ({"utterance": "hi", "intent": "greet", "category": "talk"}, "utterance", "intent"),
        ({"Question": "hi", "Answer": "ho", "id": "1"}, "Question", "Answer"),
        ({"v1": "ham", "v2": "Go until jurong point"}, "v2", "v1"),
        ({"instruction": "hi", "instances.0.input": "a", "instances.0.output": "b"}, "instruction", "instances.0.output"),
        ({"text": "hi", "label": "3", "empty": ""}, "text", "label"),
        ({"id": "1", "feedback text": "it crashes", "kind": "bug"}, "feedback text", "kind"),
        ({"ticket_id": "a", "wording": "it crashes", "kind": "bug"}, "wording", "kind"),
    ],
)
def test_a_mapping_is_guessed(row: dict[str, str], question: str, answer: str) -> None:
    guess, confidence = suggest(list(row), [row])
    assert guess is not None
    assert (guess.user, guess.assistant) == (question, answer)
    assert all(0 < confidence[name] <= 1 for name in (question, answer))


def test_a_column_that_counts_the_rows_is_no_answer() -> None:
    rows = [{"n": "1", "wording": "it crashes", "kind": "bug"}, {"n": "2", "wording": "lovely", "kind": "praise"}]
    guess, _ = suggest(list(rows[0]), rows)
    assert guess is not None
    assert (guess.user, guess.assistant) == ("wording", "kind")


def test_names_are_surer_than_lengths_and_each_guess_says_why() -> None:
    rows = [{"question": "hi there you", "mood": mood} for mood in ("good", "bad", "good", "bad")]
    found = guesses(["question", "mood"], rows)
    assert found["question"].confidence > found["mood"].confidence
    assert (found["question"].why, found["mood"].why) == ("named like a question", "few distinct short values")


def test_there_is_no_guess_without_two_columns() -> None:
    assert suggest(["question"], [{"question": "hi"}]) == (None, {})
    assert suggest([], []) == (None, {})


def test_a_lone_column_of_texts_is_to_be_learnt_whole() -> None:
    guess, confidence = suggest(["id", "content"], [{"id": "1", "content": "a"}, {"id": "2", "content": "b"}])
    assert guess == Mapping(text="content")
    assert list(confidence) == ["content"]
