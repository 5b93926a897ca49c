from __future__ import annotations

from typing import Any

import pytest

from app.domain.goals import Answers, Known
from app.domain.guide import NEEDED, Goal
from app.domain.ladder import LONG_PROMPT_TOKENS, VERDICTS, Ladder, Rung, Verdict, climb

TRIED: dict[str, Any] = {"tried_prompt": True, "tried_examples": True, "tried_documents": True}


def ladder(known: Known | None = None, **answers: Any) -> Ladder:
    return climb(Answers.model_validate(answers), known)


def verdicts(found: Ladder) -> list[Verdict]:
    return [step.verdict for step in found.steps]


def test_there_are_four_rungs_in_order_and_each_has_its_reason() -> None:
    found = ladder(what="format")
    assert [step.rung for step in found.steps] == list(Rung)
    assert all(step.reason.endswith(".") and VERDICTS[step.verdict] for step in found.steps)


def test_who_has_not_tried_a_prompt_begins_there() -> None:
    found = ladder(what="format", examples=700)
    assert found.headline == "Don’t fine-tune yet: write a careful prompt first"
    assert (found.decided_by, found.step(Rung.TUNE).verdict) == (Rung.PROMPT, Verdict.LATER)


def test_what_happened_yesterday_is_looked_up() -> None:
    found = ladder(what="domain", examples=5_000, news=True)
    assert (found.headline, found.decided_by) == ("Don’t fine-tune for this: look it up", Rung.DOCUMENTS)
    assert verdicts(found) == [Verdict.LATER, Verdict.FIRST, Verdict.NOT, Verdict.NOT]
    # How it answers can be tuned all the same, when looking up is at work.
    assert verdicts(ladder(what="style", examples=700, news=True, **TRIED)) == [Verdict.DONE, Verdict.BESIDE, Verdict.WORTH, Verdict.NOT]


def test_a_prompt_of_two_thousand_tokens_is_shortened_first() -> None:
    found = ladder(what="style", examples=700, tried_prompt=True, prompt_tokens=2_000)
    assert found.headline == "Don’t fine-tune yet: shorten the prompt first"
    assert "2,000 tokens" in found.reason
    assert "into its weights later" in found.reason
    shorter: list[dict[str, Any]] = [{"prompt_tokens": LONG_PROMPT_TOKENS - 1}, {"prompt_tokens": 2_000, "prompt_is_short": True}]
    assert all(ladder(what="style", examples=700, tried_prompt=True, **answered).says_tune for answered in shorter)


@pytest.mark.parametrize("goal", Goal)
def test_fifty_examples_and_a_dream_go_into_the_prompt(goal: Goal) -> None:
    found = ladder(what=goal, examples=50, tried_prompt=True)
    assert found.headline == "Don’t fine-tune yet: put examples into the prompt"
    assert "few-shot" in found.reason
    assert found.step(Rung.TUNE).verdict is Verdict.NOT


@pytest.mark.parametrize("goal", Goal)
def test_enough_examples_and_a_tried_prompt_are_worth_tuning(goal: Goal) -> None:
    assert ladder(what=goal, examples=NEEDED[goal].low, **TRIED).says_tune
    assert ladder(what=goal, examples=NEEDED[goal].low - 1, **TRIED).headline == "Don’t fine-tune yet: collect more examples"


def test_answers_in_documents_are_looked_up_before_they_are_trained_in() -> None:
    found = ladder(what="domain", examples=2_000, tried_prompt=True, documents=True)
    assert found.headline == "Don’t fine-tune yet: look the answers up first"
    assert ladder(what="format", examples=700, tried_prompt=True, documents=True).says_tune


def test_documents_may_help_with_a_goal_that_nobody_has_named() -> None:
    found = ladder(examples=700, tried_prompt=True, documents=True)
    assert found.headline == "Don’t fine-tune yet: look the answers up first"
    assert "would not help" not in found.step(Rung.DOCUMENTS).reason


def test_a_prompt_that_is_right_often_enough_is_enough() -> None:
    found = ladder(what="format", examples=700, tried_prompt=True, right_percent=96)
    assert found.headline == "Don’t fine-tune: the prompt is enough"
    assert verdicts(found) == [Verdict.ENOUGH, Verdict.NOT, Verdict.NOT, Verdict.NOT]
    assert ladder(what="format", examples=700, tried_prompt=True, right_percent=96, wanted_percent=99).says_tune


@pytest.mark.parametrize("need", ["fast", "private", "many"])
def test_a_large_model_that_answers_well_may_still_be_replaced(need: str) -> None:
    found = climb(Answers.model_validate({"what": "format", "examples": 700, "tried_prompt": True, "right_percent": 96, need: True}))
    assert found.says_tune
    assert "That is the bar" in found.step(Rung.PROMPT).reason


@pytest.mark.parametrize(("goal", "gain"), [("mask", "the data stays in the house"), ("code", "answers come at once")])
def test_a_prompt_of_a_large_model_is_not_enough_to_mask_names_or_to_complete_code(goal: str, gain: str) -> None:
    found = ladder(what=goal, examples=1_000, right_percent=98, **TRIED)
    assert found.says_tune
    assert gain in found.step(Rung.TUNE).reason


def test_what_was_measured_here_goes_before_what_is_said() -> None:
    measured = Known(rows=683, right_percent=40, measured="hone-starter with 5 examples")
    found = ladder(measured, what="format", tried_prompt=True, right_percent=99)
    assert found.says_tune
    assert found.step(Rung.PROMPT).reason.startswith("hone-starter with 5 examples is right in 40 % of answers")
    own = Known(rows=683, right_percent=97, measured="hone-starter", on_own_model=True)
    assert ladder(own, what="format", tried_prompt=True, private=True).headline == "Don’t fine-tune: the prompt is enough"


def test_the_rows_of_the_project_count_where_nobody_says_how_many() -> None:
    assert ladder(Known(rows=683), what="format", tried_prompt=True).says_tune
    assert not ladder(Known(rows=683), what="format", tried_prompt=True, examples=60).says_tune


def test_a_large_model_can_write_the_examples_that_are_missing() -> None:
    found = ladder(what="distil", examples=0, large_model=True, **TRIED)
    assert found.headline == "Don’t fine-tune yet: let the large model write examples"
    assert "1,000 to 5,000" in found.reason


def test_what_would_change_the_advice_is_tried_out() -> None:
    found = ladder(what="format", examples=50, tried_prompt=True)
    assert ("With 500 good examples", "Fine-tune a small model") in found.changes
    assert ladder(what="format", examples=500, tried_prompt=True).headline == "Fine-tune a small model"
    assert all(change.then != found.headline for change in found.changes)


def test_limits_of_small_models_and_of_numbers_are_told() -> None:
    assert any("reasons less deeply" in caution for caution in ladder(what="domain").cautions)
    assert any("500 great examples" in caution for caution in ladder(what="format", examples=5_000).cautions)
    assert ladder(what="format", examples=400).cautions == ()
