"""What a model is asked, and that no test row is ever among the examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.baselines import Way
from app.domain.datasets import Message, Split
from app.domain.errors import Invalid
from tests.workers.evaluation.rows import row, write_rows
from workers.evaluation import prompts
from workers.evaluation.prompts import LOOK_UP, Prompts, Question, messages_for, read_material

RULES = "Answer in one word."
QUESTION = Question(9, "h", (Message(role="system", content=RULES), Message(role="user", content="Is the kettle in stock?")), "yes")
NEAR = Question(1, "a", (Message(role="system", content=RULES), Message(role="user", content="Is the teapot in stock?")), "no")
FAR = Question(2, "b", (Message(role="user", content="What is in stock?"),), "tea")


def test_zero_shot_is_the_rows_own_prompt() -> None:
    asked = messages_for(Way.ZERO_SHOT, QUESTION, [])
    assert asked == [{"role": "system", "content": RULES}, {"role": "user", "content": "Is the kettle in stock?"}]


def test_few_shot_shows_turns_with_the_most_similar_last() -> None:
    asked = messages_for(Way.FEW_SHOT, QUESTION, [NEAR, FAR])
    said = [(turn["role"], turn["content"]) for turn in asked]
    assert said == [
        ("system", RULES), ("user", "What is in stock?"), ("assistant", "tea"), ("user", "Is the teapot in stock?"), ("assistant", "no"),
        ("user", "Is the kettle in stock?"),
    ]  # fmt: skip


def test_retrieval_puts_the_nearest_rows_first_into_the_system_prompt() -> None:
    system, user = messages_for(Way.RETRIEVAL, QUESTION, [NEAR, FAR])
    assert system["content"].startswith(f"{RULES}\n\n{LOOK_UP}\n\n[1] Is the teapot in stock?\nAnswer: no\n\n[2] ")
    assert user == {"role": "user", "content": "Is the kettle in stock?"}


@pytest.mark.parametrize("way", list(Way))
def test_without_examples_every_way_asks_the_same(way: Way) -> None:
    assert messages_for(way, QUESTION, []) == messages_for(Way.ZERO_SHOT, QUESTION, [])


def test_examples_come_from_training_rows_only(tmp_path: Path) -> None:
    rows = [row(f"Question {n} about tea", "canary", Split.TEST) for n in range(30)]
    rows += [row(f"Question {n} about tea", f"answer {n}") for n in range(40)]
    # A file that says itself which side a row is on may say it twice.
    rows += [rows[3] | {"split": "train"}]
    material = read_material(write_rows(tmp_path / "rows", rows), 12)
    written = Prompts(material, 8)
    assert len(material.examples) == 40
    for question in material.asked:
        shown = written.examples_for(question)
        assert len(shown) == 8
        for way in (Way.FEW_SHOT, Way.RETRIEVAL):
            assert "canary" not in str(messages_for(way, question, shown))


LONG = "The kettle that I ordered with the blue cups last week has come with a broken lid, and I would like to have another one, please"


def test_what_nearly_repeats_a_test_row_is_no_example_for_it_but_for_others(tmp_path: Path) -> None:
    rows = [
        row(LONG, "exchange", Split.TEST), row("Where is the kettle with a lid that I ordered last week?", "delivery", Split.TEST),
        row(f"{LONG}!", "exchange"), row(LONG.replace("blue", "green"), "exchange"), row("The kettle has a broken lid", "exchange"),
        *(row(f"Order {n} of one lid", "delivery") for n in range(20)),
    ]  # fmt: skip
    material = read_material(write_rows(tmp_path / "rows", rows), 10)
    assert material.notes == ("Training rows that ask nearly the same as a test row, and so were not shown with it: 2.",)
    shown = {each.text: [one.text for one in Prompts(material, 3).examples_for(each)] for each in material.asked}
    assert shown[LONG][0] == "The kettle has a broken lid"
    assert [len(each) for each in shown.values()] == [3, 3]
    assert not [text for text in shown[LONG] if text.startswith("The kettle that")]
    assert f"{LONG}!" in shown["Where is the kettle with a lid that I ordered last week?"]


@pytest.mark.parametrize("hashes", [("0", "1"), ("1", "0")])
def test_what_nearly_repeats_a_test_row_is_left_out_though_that_row_repeats_another(tmp_path: Path, hashes: tuple[str, str]) -> None:
    words = [f"w{number}" for number in range(60)]
    first, middle, last = (" ".join(words[start : start + 50]) for start in (0, 4, 8))
    rows = [row(first, "a", Split.TEST, hash=hashes[0] * 64), row(middle, "b", Split.TEST, hash=hashes[1] * 64), row(last, "c")]
    material = read_material(write_rows(tmp_path / "rows", rows), 10)
    shown = {each.text: [one.text for one in Prompts(material, 4).examples_for(each)] for each in material.asked}
    assert shown == {first: [last], middle: []}


def test_where_no_example_is_shown_nothing_is_compared_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MOST_BYTES_CHOSEN_FROM", 2 * len(LONG))
    rows = [row(LONG, "exchange", Split.TEST), row(f"{LONG}!", "exchange"), *(row(f"{LONG} {n}", "exchange") for n in range(4))]
    file = write_rows(tmp_path / "rows", rows)
    shown, asked_alone = read_material(file, 10), read_material(file, 10, shows_examples=False)
    assert (len(shown.notes), asked_alone.notes) == (2, ())
    assert (len(shown.twins), asked_alone.twins) == (1, {})
    assert asked_alone.examples == shown.examples


def test_rows_of_one_form_are_examples_of_each_other(tmp_path: Path) -> None:
    rows = [row(f"{LONG} {n}", f"answer {n}", Split.TEST if n < 3 else Split.TRAIN) for n in range(30)]
    material = read_material(write_rows(tmp_path / "rows", rows), 10)
    assert material.twins == {}
    assert material.notes == (
        "Test rows that ask nearly the same as many training rows, which were shown, since that is the form of these rows: 3.",
    )
    assert [len(Prompts(material, 4).examples_for(each)) for each in material.asked] == [4] * 3


def test_the_same_rows_are_asked_every_time_whatever_their_order(tmp_path: Path) -> None:
    rows = [row(f"Question {n}", "yes", Split.TEST) for n in range(50)]
    first = read_material(write_rows(tmp_path / "one", rows), 10)
    again = read_material(write_rows(tmp_path / "two", rows[::-1]), 10)
    fewer = read_material(tmp_path / "one", 4)
    assert [each.text for each in first.asked] == [each.text for each in again.asked]
    assert [each.text for each in fewer.asked] == [each.text for each in first.asked[:4]]
    assert first.test_rows == 50


def test_rows_that_cannot_be_asked_are_counted(tmp_path: Path) -> None:
    calls = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": "[{}]"}]
    text = [{"role": "text", "content": "A story."}]
    rows = [
        row("Yes?", "yes", Split.TEST), row("a", "b", Split.TEST, messages=calls), row("c", "d", Split.TEST, messages=text),
        row("x" * 9_000, "long", Split.TEST), row("e", "f", Split.TEST, label=False),
    ]  # fmt: skip
    material = read_material(write_rows(tmp_path / "rows", rows), 10)
    assert [each.answer for each in material.asked] == ["yes"]
    assert material.notes == ("Test rows that could not be asked, since they call tools, hold no question, or are very long: 4.",)


def test_of_more_text_than_memory_holds_as_many_rows_are_examples_as_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MOST_BYTES_CHOSEN_FROM", 35)
    rows = [row("Yes?", "yes", Split.TEST), *(row("ten bytes" + str(n), "yes") for n in range(5))]
    material = read_material(write_rows(tmp_path / "rows", rows), 10)
    assert len(material.examples) == 3
    assert material.notes == ("Examples were chosen from 3 training rows; 2 more would not have fitted into memory.",)


def test_without_a_row_to_ask_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No test row") as refused:
        read_material(write_rows(tmp_path / "rows", [row("a", "b")]), 10)
    assert refused.value.code == "no_test_rows"
