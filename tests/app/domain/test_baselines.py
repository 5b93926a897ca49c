"""What a measurement adds up to, and what it advises."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.domain.baselines import Advice, AskedModel, BaselineRequest, Plan, Results, Said, Way, compared_by, cost_of, sum_up, verdict_on
from app.domain.goals import Answers
from app.domain.guide import Goal
from app.domain.metrics import Metric, Shape

BASE = AskedModel(name="org/small", place={"base_dir": "/models/small", "adapter_dir": None})
OUTSIDE = AskedModel(name="teacher", connection_id="c1", prompt_price=2.0, answer_price=8.0)
PLAN = Plan(dataset="mails", models=(BASE, OUTSIDE), methods=tuple(Way), k=4, rows=40, max_tokens=64)
RIGHT, WRONG = dict.fromkeys(Metric, 1.0), dict.fromkeys(Metric, 0.0)


def answers(way: Way, right: int, *, model: int = 0, rows: int = 40) -> list[Said]:
    shown = () if way is Way.ZERO_SHOT else (1, 2, 3, 4)
    return [
        Said(
            model=model, way=way, row=n, text="x", scores=RIGHT if n < right else WRONG, examples=shown, seconds=2.0, prompt_tokens=50,
            answer_tokens=5,
        )
        for n in range(rows)
    ]  # fmt: skip


def results(*said: list[Said]) -> Results:
    flat = [each for some in said for each in some]
    return sum_up(PLAN, flat, Shape.LABELS, rows=len(said[0]), test_rows=90, training_rows=800)


def test_what_tuning_has_to_beat_stands_first() -> None:
    found = verdict_on(results(answers(Way.ZERO_SHOT, 5), answers(Way.FEW_SHOT, 28)), PLAN)
    assert found.sentence == "Tuning has to beat 70 % (±15): few-shot with 4 examples on small; zero-shot on small 12 %."
    assert found.advice is Advice.TUNE
    assert "does not get above 82 %" in found.why


def test_with_one_model_its_name_is_said_once() -> None:
    said = results(answers(Way.ZERO_SHOT, 5), answers(Way.FEW_SHOT, 28))
    alone = PLAN.model_copy(update={"models": (BASE,)})
    assert verdict_on(said, alone).sentence.endswith("few-shot with 4 examples on small; zero-shot 12 %.")


def test_a_prompt_that_is_good_enough_says_dont() -> None:
    found = verdict_on(results(answers(Way.ZERO_SHOT, 40)), PLAN)
    assert found.advice is Advice.PROMPT
    assert found.lead == "A prompt is enough"
    assert found.why.startswith("Don't tune for quality: zero-shot on small reaches 100 % (label right), and at least 91 %")


def test_nineteen_of_twenty_are_not_certain_enough_to_advise_against_tuning() -> None:
    assert verdict_on(results(answers(Way.ZERO_SHOT, 19, rows=20)), PLAN).advice is Advice.TUNE


def test_an_outside_model_that_suffices_still_leaves_a_reason_to_tune() -> None:
    found = verdict_on(results(answers(Way.ZERO_SHOT, 40, model=1), answers(Way.ZERO_SHOT, 0)), PLAN)
    assert found.advice is Advice.PROMPT
    assert "rows may not leave" in found.why


def test_looked_up_rows_that_lift_a_lot_are_advised() -> None:
    found = verdict_on(results(answers(Way.FEW_SHOT, 12), answers(Way.RETRIEVAL, 32)), PLAN)
    assert found.advice is Advice.RETRIEVAL
    assert "reaches 80 %, without 30 %" in found.why


def test_looked_up_rows_that_lift_little_are_not() -> None:
    assert verdict_on(results(answers(Way.FEW_SHOT, 28), answers(Way.RETRIEVAL, 32)), PLAN).advice is Advice.TUNE


def test_few_rows_are_said_to_be_few() -> None:
    assert "These are only 8 rows:" in verdict_on(results(answers(Way.ZERO_SHOT, 4, rows=8)), PLAN).why
    assert "This is only 1 row:" in verdict_on(results(answers(Way.ZERO_SHOT, 0, rows=1)), PLAN).why


@pytest.mark.parametrize(
    ("goal", "rows", "advice", "said"),
    [
        (None, 1, Advice.EXAMPLES, "from 1 training row a model"), (Goal.MASK, 50, Advice.EXAMPLES, "500 to 1,000 good ones"),
        (None, 499, Advice.COLLECT, "only 499 training rows, of about 500"), (Goal.DOMAIN, 999, Advice.COLLECT, "of 1,000 to 5,000"),
        (None, 500, Advice.TUNE, "with certainty. Afterwards"), (Goal.DOMAIN, 1_000, Advice.TUNE, "with certainty. Afterwards"),
    ],
)  # fmt: skip
def test_tuning_is_advised_where_there_are_rows_enough_for_the_goal(goal: Goal | None, rows: int, advice: Advice, said: str) -> None:
    few = results(answers(Way.ZERO_SHOT, 20)).model_copy(update={"training_rows": rows})
    found = verdict_on(few, PLAN.model_copy(update={"goal": goal}))
    assert found.advice is advice
    assert found.lead
    assert said in found.why


@pytest.mark.parametrize(
    ("answers_of_goal", "metric"),
    [({"what": "mask"}, Metric.EXACT), ({"output": "same_text"}, Metric.EXACT), ({"what": "style"}, None), ({}, None)],
)
def test_a_text_that_comes_back_changed_is_right_to_the_letter_or_not(answers_of_goal: dict[str, str], metric: Metric | None) -> None:
    assert compared_by(Answers.model_validate(answers_of_goal)) is metric


def test_of_equal_ways_the_simpler_is_the_best() -> None:
    assert results(answers(Way.ZERO_SHOT, 9), answers(Way.RETRIEVAL, 9)).best.way is Way.ZERO_SHOT


def test_sums_count_what_was_cut_refused_and_shown_less() -> None:
    said = answers(Way.FEW_SHOT, 4, rows=4)
    said[0] = said[0].model_copy(update={"is_cut": True, "examples": (1, 2)})
    said[1] = Said(model=0, way=Way.FEW_SHOT, row=1, refused="It does not answer that.", scores=WRONG)
    [found] = results(said).measured
    assert (found.rows, found.cut, found.refused, found.shortened) == (4, 1, 1, 2)
    assert (found.prompt_tokens, found.answer_tokens, found.examples, found.seconds) == (150, 15, 2.5, 2.0)
    assert found.scores[Metric.LABEL].value == 0.75


def test_what_answers_cost_needs_both_prices_and_counts() -> None:
    [outside] = results(answers(Way.ZERO_SHOT, 1, model=1)).measured
    # 2000 prompt tokens at 2 and 200 answer tokens at 8 for a million.
    assert cost_of(outside, OUTSIDE) == pytest.approx(0.0056)
    assert cost_of(outside, BASE) is None
    assert cost_of(outside.model_copy(update={"answer_tokens": None}), OUTSIDE) is None


def test_a_way_that_is_named_twice_is_measured_once() -> None:
    asked = BaselineRequest.model_validate({"dataset_id": "d", "base_model": "b", "methods": ["few_shot", "zero_shot", "few_shot"]})
    assert asked.methods == (Way.FEW_SHOT, Way.ZERO_SHOT)


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"rows": 201}, {"k": 17}, {"methods": []}, {"temperature": 1}, {"prompt_price": -1}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BaselineRequest.model_validate({"dataset_id": "d", "base_model": "b"} | wrong)
