from __future__ import annotations

import pytest

from app.domain.goals import Output
from app.domain.guide import Goal
from app.domain.narrowing import PAIRS, Flaw, hints


def flaws(task: str, output: Output | None = None) -> list[Flaw]:
    return [hint.flaw for hint in hints(task, output)]


@pytest.mark.parametrize("goal", Goal)
def test_good_examples_are_narrow_and_bad_ones_are_not(goal: Goal) -> None:
    for bad, good in PAIRS[goal]:
        assert flaws(bad)
        assert flaws(good) == []


@pytest.mark.parametrize(
    ("task", "flaw"),
    [
        ("A support bot", Flaw.TOO_SHORT),
        ("An assistant that answers questions of our customers", Flaw.TOO_BROAD),
        ("Answer support mails and translate them into German", Flaw.TWO_TASKS),
        ("A customer's question into yesterday's sales as a table", Flaw.NEWS),
        ("Do whatever is needed here please", Flaw.NO_INPUT),
        ("Read the complaints that come in by letter", Flaw.NO_OUTPUT),
    ],
)
def test_each_flaw_is_found_by_its_words(task: str, flaw: Flaw) -> None:
    assert flaw in flaws(task)


def test_and_between_two_fields_is_one_task() -> None:
    assert flaws("Support e-mail into JSON with intent and urgency") == []


def test_the_words_that_show_it_are_quoted() -> None:
    [hint] = hints("Answer support mails and translate them into German")
    assert "“and translate”" in hint.why


def test_an_output_that_was_chosen_need_not_be_named() -> None:
    task = "Read the complaints that come in by letter"
    assert flaws(task, Output.LABEL) == []


def test_nothing_is_said_of_nothing() -> None:
    assert hints("  ") == []
