"""Rows that repeat others are found as a person would tell them: copies, near twins, contradictions, and leaks into the test."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.domain.datasets import Example, Split, Turn
from app.domain.problems import ALONE
from workers.curation.parquet import RowWriter
from workers.curation.twins import COLUMNS, TwinFinder, Twins

LONG = "the quick brown fox jumps over the lazy dog and runs away into the deep dark wood behind the old mill"


def asked(
    question: str, answer: str = "That is a long answer, and of its own.", *, test: bool = False, system: str = "", **more: Any
) -> Example:
    turns = [Turn("system", system)] if system else []
    return Example([*turns, Turn("user", question), Turn("assistant", answer)], split=Split.TEST if test else Split.TRAIN, **more)


def found(folder: Path, examples: list[Example], *, spoiled: Collection[int] = (), batch_rows: int = 1_000) -> Twins:
    """Write rows as an import does, and find their twins."""
    path = folder / "rows.parquet"
    with RowWriter(path) as writer:
        for line, example in enumerate([*examples, asked("zebra", "unlike all others", test=True)], 1):
            writer.add(example, line)
        writer.finish()
    marks = np.array([place in spoiled for place in range(len(examples) + 1)])
    with TwinFinder(folder=folder) as finder, pq.ParquetFile(path) as file:
        start = 0
        for batch in file.iter_batches(batch_rows, columns=COLUMNS):
            finder.add(batch, marks[start : start + batch.num_rows])
            start += batch.num_rows
        every: list[Any] = [column[:-1] for column in finder.finish()]
        return Twins(*every)


def test_copies_name_the_first_of_them_and_keep_it(tmp_path: Path) -> None:
    twins = found(tmp_path, [asked("one"), asked("two"), asked("one"), asked("one")])
    assert twins.exact.tolist() == [0, ALONE, 0, 0]
    assert twins.is_copy.tolist() == [False, False, True, True]
    assert twins.keep.tolist() == [True, True, False, False]
    assert (twins.near == ALONE).all()


def test_near_twins_are_one_group_with_their_copies_of_which_the_longest_answer_stays(tmp_path: Path) -> None:
    rows = [asked(LONG, LONG), asked(LONG, f"{LONG} again"), asked("another", LONG[:40]), asked(LONG, f"{LONG} again")]
    twins = found(tmp_path, rows)
    assert twins.near.tolist() == [0, 0, ALONE, 0]
    assert twins.exact.tolist() == [ALONE, 1, ALONE, 1]
    assert twins.keep.tolist() == [False, True, True, False]


def test_a_row_that_is_spoiled_or_held_out_is_not_the_one_to_keep(tmp_path: Path) -> None:
    rows = [asked(LONG, f"{LONG} {more}", test=test) for more, test in (("a longer end", False), ("so", False), ("the end", True))]
    assert found(tmp_path, rows).keep.tolist() == [True, False, False]
    assert found(tmp_path, rows, spoiled={0}).keep.tolist() == [False, True, False]
    assert found(tmp_path, rows, spoiled={0, 1}).keep.tolist() == [False, False, True]


def test_every_group_keeps_one_row_that_is_no_copy(tmp_path: Path) -> None:
    chance = random.Random(4)  # noqa: S311 - nothing secret
    rows = [asked(LONG, f"{LONG} {chance.choice('abc')}", test=chance.random() < 0.3) for _ in range(30)]
    twins = found(tmp_path, rows, spoiled=set(range(0, 30, 3)))
    assert set(twins.near.tolist()) == {0}
    assert np.count_nonzero(twins.keep) == 1
    assert not (twins.keep & twins.is_copy).any()


def test_a_shared_system_prompt_makes_no_twins_but_one_of_a_rows_own_tells_it_apart(tmp_path: Path) -> None:
    questions = ["who won the cup in France", "where is my parcel now", "can I pay with a card"]
    assert (found(tmp_path, [asked(question, question, system=LONG * 3) for question in questions]).near == ALONE).all()
    pages = [" ".join(f"{word}{number}" for word in LONG.split()) for number in range(40)]
    own = [asked("what does the page say", "It says what I have told you before.", system=page) for page in pages]
    assert (found(tmp_path, own).near == ALONE).all()


def test_rows_with_different_labels_or_judgements_are_no_near_twins(tmp_path: Path) -> None:
    question = "could you please tell me where my card has gone"
    rows = [asked(question, "lost_card"), asked(f"{question} today", "lost_card"), asked(f"{question} then", "stolen_card")]
    assert found(tmp_path, rows).near.tolist() == [0, 0, ALONE]
    judged = [asked(LONG, LONG, label=True), asked(LONG, f"{LONG} more", label=True), asked(LONG, f"{LONG} more", label=False)]
    assert found(tmp_path, judged).near.tolist() == [0, 0, ALONE]


def test_other_ways_to_ask_for_one_answer_are_no_near_twins(tmp_path: Path) -> None:
    rows = [asked(question, f"{LONG} {LONG}") for question in ("How do I get in?", "I lost my key", "the door is shut, what now")]
    assert (found(tmp_path, rows).near == ALONE).all()


def test_other_questions_about_one_page_are_no_near_twins(tmp_path: Path) -> None:
    rows = [
        asked(f"{LONG} {LONG} {question}", answer) for question, answer in (("who ran?", "It was the fox."), ("where?", "To the wood."))
    ]
    assert (found(tmp_path, rows).near == ALONE).all()


def test_one_question_with_two_answers_is_told_and_with_one_answer_is_not(tmp_path: Path) -> None:
    rows = [
        asked("What is the  capital of France?", "Paris is the capital of France."),
        asked("what is the capital of france?", "It is Lyon, as everybody knows."),
        asked("What is the capital of Spain?", "Madrid is the capital of Spain."),
        asked("What is the capital of Spain?", "madrid is the capital  of Spain."),
    ]
    assert found(tmp_path, rows).other_answer.tolist() == [0, 0, ALONE, ALONE]


def test_earlier_turns_and_system_prompts_and_tools_are_part_of_the_question(tmp_path: Path) -> None:
    def talk(first: str, answer: str) -> Example:
        return Example([Turn("user", first), Turn("assistant", "Yes?"), Turn("user", "How do I do that?"), Turn("assistant", answer)])

    assert (found(tmp_path, [talk("About pigs", "You feed it."), talk("About cars", "You fuel it.")]).other_answer == ALONE).all()
    assert found(tmp_path, [talk("About pigs", "You feed it."), talk("About pigs", "You wash it.")]).other_answer.tolist() == [0, 0]
    asks = "What is the weather like?"
    differently: list[dict[str, Any]] = [{"system": "Speak French."}, {"tools": "[{}]"}]
    for more in differently:
        assert (found(tmp_path, [asked(asks, "It rains."), asked(asks, "Il pleut.", **more)]).other_answer == ALONE).all()


def test_answers_may_differ_to_a_greeting_unless_they_are_labels(tmp_path: Path) -> None:
    assert (found(tmp_path, [asked("hi", "Hello, what can I do?"), asked("hi", "Good morning to you!")]).other_answer == ALONE).all()
    labelled = [asked(f"word{number}", "noun" if number % 2 else "verb") for number in range(40)]
    assert found(tmp_path, [asked("run", "noun"), asked("run", "verb"), *labelled]).other_answer[:3].tolist() == [0, 0, ALONE]


def test_several_answers_are_by_design_where_they_are_compared_or_judged(tmp_path: Path) -> None:
    question = "Tell me a story of a fox"
    for more in ({"label": True}, {"rejected": [Turn("assistant", "No.")]}):
        rows = [asked(question, "A fox ran.", **more), asked(question, "Two foxes sat.", **more)]
        assert (found(tmp_path, rows).other_answer == ALONE).all()


def test_a_text_to_learn_whole_has_no_other_answer_and_leaks_by_itself(tmp_path: Path) -> None:
    texts = [Example([Turn("text", text)], split=split) for text, split in ((LONG, Split.TRAIN), (LONG.upper(), Split.TEST))]
    twins = found(tmp_path, texts)
    assert (twins.other_answer == ALONE).all()
    assert (twins.leak_exact.tolist(), twins.leak_of.tolist()) == ([False, True], [ALONE, 0])


def test_test_rows_whose_question_or_near_twin_is_in_training_are_leaks(tmp_path: Path) -> None:
    rows = [
        asked("Who are you, my friend?", "An answer.", test=True),
        asked("where are you from", "From far away."),
        asked("who ARE you,  my friend?", "Another answer altogether."),
        asked(LONG, LONG, test=True),
        asked(LONG + " again", "Something else."),
        asked("where do they go", "To the sea.", test=True),
        asked("where do they go", "To the hills.", test=True),
    ]
    twins = found(tmp_path, rows)
    assert np.flatnonzero(twins.leak_exact).tolist() == [0]
    assert np.flatnonzero(twins.leak_near).tolist() == [3]
    assert twins.leak_of.tolist() == [2, ALONE, ALONE, 4, ALONE, ALONE, ALONE]


def test_batches_of_any_size_find_the_same(tmp_path: Path) -> None:
    chance = random.Random(8)  # noqa: S311 - nothing secret
    rows = [
        asked(f"{LONG} {chance.randrange(9)}", f"{chance.randrange(3)} {LONG[: chance.choice((20, 50))]}", test=chance.random() < 0.2)
        for _ in range(60)
    ]
    whole, parts = found(tmp_path, rows), found(tmp_path, rows, batch_rows=7)
    for name, column in whole._asdict().items():
        assert column.tolist() == getattr(parts, name).tolist(), name


def test_calls_of_tools_are_part_of_what_is_said(tmp_path: Path) -> None:
    def calling(city: str) -> Example:
        call = json.dumps([{"id": "1", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}])
        return Example([Turn("user", "What is the weather like there?"), Turn("assistant", "", tool_calls=call)])

    twins = found(tmp_path, [calling("Rome"), calling("Oslo"), calling("Rome")])
    assert twins.exact.tolist() == [0, ALONE, 0]
    assert twins.other_answer.tolist() == [0, 0, 0]
    assert (twins.near == ALONE).all()


def test_without_rows_nothing_is_found() -> None:
    with TwinFinder() as finder:
        twins = finder.finish()
    assert [len(column) for column in twins] == [0] * 7
    assert len(twins.is_copy) == 0


@pytest.mark.material
def test_sms_spam_has_its_403_copies(material: Path, tmp_path: Path) -> None:
    with (material / "classification" / "sms_spam_latin1.csv").open(encoding="cp1252", newline="") as file:
        rows = [asked(row["v2"], row["v1"]) for row in csv.DictReader(file)]
    twins = found(tmp_path, rows)
    assert np.count_nonzero(twins.is_copy) == 403


@pytest.mark.material
def test_glaive_has_its_35_copies(material: Path, tmp_path: Path) -> None:
    roles: Any = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool"}
    rows = [
        Example([Turn(roles[turn["from"]], turn["value"]) for turn in row["conversations"]], tools=row["tools"])
        for row in json.loads((material / "conversation" / "glaive_toolcall_en_demo.json").read_bytes())
    ]
    assert np.count_nonzero(found(tmp_path, rows).is_copy) == 35


@pytest.mark.material
def test_clinc150_has_its_2_leaked_texts(material: Path, tmp_path: Path) -> None:
    parts = json.loads((material / "classification" / "clinc150_data_full.json").read_bytes())
    rows = [asked(text, label, test=part.endswith("test")) for part in parts for text, label in parts[part]]
    twins = found(tmp_path, rows)
    assert sorted(rows[place].turns[0].content for place in np.flatnonzero(twins.leak_exact)) == [
        "what's your designation",
        "where did you grow up",
    ]
    assert all(rows[twins.leak_of[place]].split == Split.TRAIN for place in np.flatnonzero(twins.leak_exact | twins.leak_near))
