"""What a run takes beside operations, held against what runs on two cores took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.domain.accelerators import processor
from app.domain.architectures import Architecture
from app.domain.beside_steps import ANSWERED_ROWS, MARGIN_TOKENS, ON_CPU, ON_GPU, ROWS_AT_ONCE, answer_seconds, answers_of, beside_of
from app.domain.estimates import Target, estimate
from app.domain.packs import Work
from app.domain.prices import PriceTable
from app.domain.spans import Span
from app.domain.specs import TrainingSettings
from app.domain.time_estimate import TimeEstimate
from workers.training import evaluate

STARTER = Architecture.from_config(
    json.loads((Path(__file__).parents[3] / "models" / "hone-starter" / "config.json").read_text(encoding="utf-8"))
)
SMOLLM_135M = Architecture.from_config({
    "model_type": "llama", "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "tie_word_embeddings": True,
})  # fmt: skip
EMAILS = Work(rows=700, steps=350, mean_tokens=123, longest_tokens=200, eval_rows=120)


def on_two_cores(arch: Architecture, work: Work, **settings: object) -> TimeEstimate:
    here = Target("own:cpu", "CPU, 2 cores", processor(2, 8 * 10**9), 1, None, None, is_own=True)
    return estimate(arch, TrainingSettings.model_validate({"precision": "bf16"} | settings), work, here, PriceTable()).time


@pytest.mark.parametrize(
    ("steps", "checks_every", "seconds"),
    [(350, 44, 139.7), (40, 10, 143.9)],
    ids=["four passes on a quiet machine", "forty steps beside ten busy processes"],
)
def test_what_the_starter_took_on_two_cores_is_within_what_is_told(steps: int, checks_every: int, seconds: float) -> None:
    work = EMAILS.model_copy(update={"steps": steps})
    told = on_two_cores(STARTER, work, max_steps=steps, batch_size=8, eval_every_steps=checks_every)
    assert told.low <= seconds <= told.high


def test_the_likely_time_of_the_starter_s_quick_run_is_not_far_from_what_it_took() -> None:
    assert on_two_cores(STARTER, EMAILS, max_steps=350, batch_size=8, eval_every_steps=44).seconds == pytest.approx(139.7, rel=0.3)


@pytest.mark.parametrize("rows_per_second", [8.2, 11.4, 11.8])
def test_what_a_base_of_135_million_took_on_two_cores_is_within_what_is_told(rows_per_second: float) -> None:
    work = Work(rows=1600, steps=100, mean_tokens=43, longest_tokens=64)
    told = on_two_cores(SMOLLM_135M, work, max_steps=100, batch_size=16)
    assert told.low <= 1600 / rows_per_second + 6 <= told.high
    assert told.seconds == pytest.approx(1600 / 8.2 + 6, rel=0.5)


def test_a_processor_begins_within_seconds_and_a_gpu_within_a_minute() -> None:
    assert (beside_of("cpu"), beside_of("gpu")) == (ON_CPU, ON_GPU)
    assert all(ON_CPU.startup.low < seen < ON_CPU.startup.high for seen in (0.8, 6.3, 29.5))
    assert ON_GPU.startup.likely == 60


def test_answers_are_counted_as_checks_ask_for_them() -> None:
    assert (ANSWERED_ROWS, ROWS_AT_ONCE, MARGIN_TOKENS) == (evaluate.MATCH_ROWS, evaluate.ROWS_AT_ONCE, evaluate.MARGIN_TOKENS)
    few, many, more = (answers_of(STARTER, EMAILS.model_copy(update={"eval_rows": rows}), 8, 1e7) for rows in (32, 128, 1024))
    assert many == more
    assert (many.flops, many.passes) == pytest.approx((4 * few.flops, 4 * few.passes))
    assert answers_of(STARTER, EMAILS.model_copy(update={"eval_rows": 0}), 8, 1e7) == (0, 0)


def test_answers_take_nothing_at_least_and_all_of_them_at_most() -> None:
    answers, rates = answers_of(STARTER, EMAILS, 8, 1e7), Span(1e11, 5e10, 2e11)
    cpu, gpu = (answer_seconds(answers, rates, each) for each in (ON_CPU, ON_GPU))
    assert cpu.low == gpu.low == gpu.likely == 0
    assert 0 < cpu.likely < cpu.high
    assert cpu.high == pytest.approx(answers.flops / 5e10 + answers.passes * 0.012)


def test_what_is_told_says_how_much_of_it_is_for_answers() -> None:
    told = on_two_cores(STARTER, EMAILS, max_steps=350, batch_size=8)
    assert "s of answers at checks, and 5 s to begin" in told.arithmetic
    assert "2,100 layers begun × 3 ms" in told.arithmetic


def test_a_run_without_held_out_rows_answers_nothing() -> None:
    assert "answers" not in on_two_cores(STARTER, EMAILS.model_copy(update={"eval_rows": 0})).arithmetic
