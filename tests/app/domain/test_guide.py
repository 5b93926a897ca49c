from __future__ import annotations

import pytest

from app.domain.guide import NEEDED, Goal, advise, likely_goal


@pytest.mark.parametrize("goal", Goal)
def test_fifty_examples_and_a_dream_are_for_a_prompt(goal: Goal) -> None:
    advice = advise(goal, 50)
    assert (advice.tone, "few-shot prompting first" in advice.sentence) == ("bad", True)
    assert advise(goal, 1).sentence == "With 1 example, try few-shot prompting first: put it into the prompt."


@pytest.mark.parametrize(
    ("goal", "rows", "verdict"),
    [
        (Goal.FORMAT, 499, "Not yet"), (Goal.FORMAT, 683, "Enough"), (Goal.STYLE, 683, "Enough to begin"), (Goal.STYLE, 1_000, "Enough"),
        (Goal.DOMAIN, 683, "Not yet"), (Goal.DOMAIN, 1_000, "Enough to begin"), (Goal.REPLACE, 5_000, "Enough"),
    ],
)  # fmt: skip
def test_each_goal_has_its_numbers(goal: Goal, rows: int, verdict: str) -> None:
    assert advise(goal, rows).verdict == verdict


def test_the_sentence_says_how_many_of_how_many() -> None:
    assert advise(Goal.FORMAT, 683).sentence.startswith("683 of about 500: enough.")
    assert "683 of 1,000 to 5,000" in advise(Goal.DOMAIN, 683).sentence


@pytest.mark.parametrize("goal", Goal)
def test_the_share_grows_to_one_and_no_further(goal: Goal) -> None:
    shares = [advise(goal, rows).share for rows in range(0, 2 * NEEDED[goal].high, 37)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_labels_and_short_answers_are_for_a_format_and_texts_for_a_domain() -> None:
    assert likely_goal(is_text=False, has_labels=True, mean_answer_tokens=None) is Goal.FORMAT
    assert likely_goal(is_text=False, has_labels=False, mean_answer_tokens=12.0) is Goal.FORMAT
    assert likely_goal(is_text=False, has_labels=False, mean_answer_tokens=300.0) is Goal.STYLE
    assert likely_goal(is_text=True, has_labels=False, mean_answer_tokens=None) is Goal.DOMAIN
