from __future__ import annotations

from typing import Any

import pytest

from app.domain.datasets import Mapping
from workers.curation.columns import MAX_COLUMNS, Columns, flatten, look_up, map_columns
from workers.curation.shapes import SetAside


def columns_of(*rows: dict[str, Any]) -> Columns:
    columns = Columns()
    for row in rows:
        columns.note(row)
    return columns


@pytest.mark.parametrize(
    ("row", "question", "answer"),
    [
        ({"utterance": "hi", "intent": "greet", "category": "talk"}, "utterance", "intent"),
        ({"Question": "hi", "Answer": "ho", "id": 1}, "Question", "Answer"),
        ({"v1": "ham", "v2": "Go until jurong point"}, "v2", "v1"),
        ({"instruction": "hi", "instances": [{"input": "a", "output": "b"}]}, "instruction", "instances.0.output"),
        ({"text": "hi", "label": 3, "empty": ""}, "text", "label"),
        ({"id": 1, "feedback text": "it crashes", "kind": "bug"}, "feedback text", "kind"),
        ({"ticket_id": "a", "wording": "it crashes", "kind": "bug"}, "wording", "kind"),
    ],
)
def test_a_mapping_is_guessed(row: dict[str, Any], question: str, answer: str) -> None:
    guess = columns_of(row).suggest()
    assert guess is not None
    assert (guess.user, guess.assistant) == (question, answer)


def test_a_column_that_counts_the_rows_is_no_answer() -> None:
    guess = columns_of({"n": 1, "wording": "it crashes", "kind": "bug"}, {"n": 2, "wording": "lovely", "kind": "praise"}).suggest()
    assert guess is not None
    assert (guess.user, guess.assistant) == ("wording", "kind")


def test_there_is_no_guess_without_two_columns() -> None:
    assert columns_of({"question": "hi"}).suggest() is None
    assert columns_of().suggest() is None


def test_names_are_collected_over_rows_and_bounded() -> None:
    columns = columns_of({"a": 1}, {"b": {"c": 1}}, {f"n{number}": 1 for number in range(1_000)})
    assert columns.names[:2] == ["a", "b.c"]
    assert len(columns.names) == MAX_COLUMNS


def test_nested_values_have_dotted_names() -> None:
    cells = {"a": {"b": [{"c": 1}, 2]}, "d.e": 3, "f": [], "g": None}
    assert flatten(cells) == {"a.b.0.c": 1, "a.b.1": 2, "d.e": 3, "f": [], "g": None}
    assert [look_up(cells, name) for name in flatten(cells)] == list(flatten(cells).values())


def test_numbers_and_truths_are_written_as_a_person_would() -> None:
    turns = map_columns({"q": True, "a": 4.5, "s": None}, Mapping(user="q", assistant="a", system="s"))
    assert turns == [("user", "true"), ("assistant", "4.5")]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"q": "x"}, "no column 'a'"),
        ({"q": "x", "a": ["y"]}, "column 'a' holds no text but a list"),
        ({"q": {"z": 1}, "a": "y"}, "column 'q' holds no text but an object"),
        ({"q": "x", "a": ""}, "answer is empty"),
        ({"q": None, "a": "y"}, "the user's turn is empty"),
    ],
)
def test_a_row_the_mapping_does_not_fit_says_why(cells: dict[str, Any], why: str) -> None:
    with pytest.raises(SetAside, match=why):
        map_columns(cells, Mapping(user="q", assistant="a"))
