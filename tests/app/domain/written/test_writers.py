from __future__ import annotations

import ast
import random
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from app.domain.fill_in import GAP
from app.domain.written import gaps, translating
from app.domain.written.rows import ROLES, Row, answered, asked
from app.domain.written.writers import WRITERS, Writer
from workers.curation.near import ALONE, NearTwins

WORDS = Path(__file__).parents[4] / "recipes" / "words"
OF = {Writer.GAPS: "code", Writer.SORTING: "requests", Writer.SUMMING_UP: "notes", Writer.TRANSLATING: "hotel"}


def words(name: str) -> dict[str, Any]:
    return tomllib.loads((WORDS / f"{name}.toml").read_text(encoding="utf-8"))


def written(writer: Writer, count: int = 1_000, seed: int = 1) -> list[Row]:
    return WRITERS[writer](words(OF[writer]), count, random.Random(seed))  # noqa: S311 - dice


@pytest.mark.parametrize("writer", Writer)
def test_as_many_rows_as_were_asked_for_and_no_question_twice(writer: Writer) -> None:
    rows = written(writer)
    assert len({asked(row) for row in rows}) == 1_000
    assert all([turn["role"] for turn in row["messages"]] == list(ROLES) for row in rows)
    assert all(turn["content"] == turn["content"].strip() != "" for row in rows for turn in row["messages"][2:])


@pytest.mark.parametrize("writer", Writer)
def test_the_same_seed_writes_the_same_rows_and_another_one_others(writer: Writer) -> None:
    assert written(writer, 50) == written(writer, 50)
    assert written(writer, 50) != written(writer, 50, seed=2)


@pytest.mark.parametrize("writer", Writer)
def test_the_desk_finds_hardly_any_two_rows_alike(writer: Writer) -> None:
    with NearTwins() as twins:
        twins.add(pa.array(["\n".join(turn["content"] for turn in row["messages"][1:]) for row in written(writer)]))
        assert sum(group != ALONE for group in twins.groups(lambda _: None).tolist()) <= 5


@pytest.mark.parametrize("writer", Writer)
def test_no_slot_and_no_choice_is_left_open(writer: Writer) -> None:
    known = {slot for name in ("one", "many", "number", "number2", "text", "flag", "limit", "few") for slot in (name, name.title())}
    for row in written(writer):
        for text in (asked(row), answered(row)):
            if writer is Writer.GAPS:
                assert not {f"{{{slot}}}" for slot in known} & set(text.split())
            else:
                assert not set("[]{}|=") & set(text)


def test_code_with_its_gap_closed_is_code_again() -> None:
    tried = 0
    for row in written(Writer.GAPS):
        whole = asked(row).replace(GAP, answered(row))
        assert asked(row).count(GAP) == 1
        if "def " in whole and "function" not in whole:
            ast.parse(whole)
            tried += 1
    assert tried > 200


def test_a_gap_is_worth_a_model_and_begins_with_code() -> None:
    answers = [answered(row) for row in written(Writer.GAPS)]
    assert all(len(answer) >= gaps.FEWEST_SIGNS for answer in answers)
    assert len(set(answers)) > 700
    assert {1, 2, 3} <= {answer.count("\n") + 1 for answer in answers}


def test_labels_come_alike_often() -> None:
    counts = Counter(answered(row) for row in written(Writer.SORTING))
    assert counts.keys() == words("requests")["labels"].keys()
    assert set(counts.values()) == {125}


def test_a_summary_says_nothing_that_its_note_does_not() -> None:
    for row in written(Writer.SUMMING_UP):
        figures = {word.strip(".;,") for word in answered(row).split() if any(sign.isdigit() for sign in word)}
        assert figures <= {word.strip(".;,") for word in asked(row).split()}
        assert answered(row).count(". ") == 1


def test_both_languages_say_the_same_figures_and_days() -> None:
    assert all(line.count(" = ") == 1 for text in words("hotel").values() for line in text.strip().splitlines())
    for row in written(Writer.TRANSLATING):
        english, german = ("".join(filter(lambda sign: sign.isdigit() or sign == ":", text)) for text in (asked(row), answered(row)))
        assert sorted(english.replace(":", "")) == sorted(german.replace(":", ""))


def test_two_days_of_a_sentence_are_two() -> None:
    days = [translating.Pair("Monday", "Montag"), translating.Pair("Friday", "Freitag")]
    template, rng = translating.Pair("{day} or {day2}", "{day} oder {day2}"), random.Random(1)  # noqa: S311 - dice
    found = {translating._filled(template, {"day": days}, rng) for _ in range(20)}
    assert {pair.english for pair in found} == {"Monday or Friday", "Friday or Monday"}
    assert {pair.german for pair in found} == {"Montag oder Freitag", "Freitag oder Montag"}
