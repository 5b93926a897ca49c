"""Exact match is what greedy decoding gives, and nothing else; the short cuts change no figure."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, Qwen3NextConfig, Qwen3NextForCausalLM

from app.domain.datasets import Split, row_hash
from app.domain.specs import TrainingSettings
from tests.workers.training.tiny import CONTEXT, TEMPLATE, chat
from workers.training import evaluate
from workers.training.batches import Batch
from workers.training.budget import Budget
from workers.training.control import Leave
from workers.training.evaluate import HeldOut, rows_to_check
from workers.training.generate import Limits, greedy_answers
from workers.training.layouts import choose_layout
from workers.training.loss import TrainedTokenLoss
from workers.training.masks import Masker
from workers.training.prepare import prepare
from workers.training.report import Reporter
from workers.training.rows import Row
from workers.training.templates import chat_template
from workers.training.tokenizer import load_tokenizer

PROMPTS = ["Hi", "Which colour is the sky, please?", "x", "Tell me more about it."]


@pytest.fixture
def model(base: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    return loaded


@pytest.fixture
def tokenizer(base: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(base)


def one_by_one(model: PreTrainedModel, prompt: list[int], most: int, stop: frozenset[int]) -> list[int]:
    ids, answer = list(prompt), []
    with torch.no_grad():
        for _ in range(most):
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if token in stop:
                break
            answer.append(token)
            ids.append(token)
    return answer


def test_answers_of_a_batch_are_those_of_each_prompt_alone(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    masker = Masker(tokenizer, chat_template(tokenizer))
    prompts = [masker.prompt_ids(chat(text)) for text in PROMPTS]
    # Whatever the second prompt's third token is, let it be a stop token, so that rows leave the batch at different times.
    stop = frozenset({one_by_one(model, prompts[1], 3, frozenset())[2]})
    expected = [one_by_one(model, prompt, 12, stop) for prompt in prompts]
    assert greedy_answers(model, prompts, Limits(stop, 12), lambda _row, _answer: True) == expected
    assert len({len(answer) for answer in expected}) > 1


def test_rows_leave_a_batch_of_a_model_with_linear_attention_too() -> None:
    torch.manual_seed(0)
    config = Qwen3NextConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=1, linear_num_value_heads=2, num_experts=0,
        layer_types=["linear_attention", "full_attention"], initializer_range=0.3, pad_token_id=None, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    hybrid = Qwen3NextForCausalLM(config).eval()
    prompts = [[3, 4, 5], [7, 8, 9, 10, 11], [2]]
    stop = frozenset({one_by_one(hybrid, prompts[1], 3, frozenset())[2]})
    expected = [one_by_one(hybrid, prompt, 8, stop) for prompt in prompts]
    assert greedy_answers(hybrid, prompts, Limits(stop, 8), lambda _row, _answer: True) == expected
    assert len({len(answer) for answer in expected}) > 1


def budget(tokens: int = 4096, rows: int | None = None, told: io.BytesIO | None = None) -> Budget:
    return Budget(rows, tokens, Reporter(told or io.BytesIO()))


def held_out(tokenizer: PreTrainedTokenizerBase, answers: list[str], *, context: int = CONTEXT, most: int = 99) -> HeldOut:
    masker = Masker(tokenizer, chat_template(tokenizer))
    conversations = [chat(text, answer) for text, answer in zip(PROMPTS, answers, strict=True)]
    rows = [Row(messages, row_hash(messages), Split.TEST, number) for number, messages in enumerate(conversations, 1)]
    masked = prepare(rows, masker, CONTEXT, check=lambda: None).rows
    return HeldOut(list(zip(rows, masked, strict=True)), masker, context=context, most=most)


@pytest.fixture
def greedy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model says to each prompt within three tokens; the last of them is made its end-of-sequence token."""
    masker = Masker(tokenizer, chat_template(tokenizer))
    said = [one_by_one(model, masker.prompt_ids(chat(text)), 4, frozenset()) for text in PROMPTS]
    monkeypatch.setattr(evaluate, "stop_ids", lambda *_: frozenset(answer[3] for answer in said))
    return [evaluate.plain_text(tokenizer, answer[:3]) for answer in said]


def test_exact_match_counts_what_greedy_decoding_says(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, greedy: list[str]
) -> None:
    loss = TrainedTokenLoss(model)
    expected = [greedy[0], "something else", f"  {greedy[2]}\n", greedy[3] + " and more"]
    measured = held_out(tokenizer, expected).check(model, loss, budget=budget(), pause=lambda: None)
    assert measured["eval/exact_match"] == 0.5


def test_masks_of_a_batch_are_let_go_of_before_the_next_is_read(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, read, kept = TrainedTokenLoss(model), list[Batch](), list[int]()
    packs = replace(budget(tokens=1), layout=choose_layout(loss).layout)
    true_score = loss.score

    def score(batch: Batch) -> Any:
        kept.append(sum(len(earlier.plan._masks) for earlier in read if earlier.plan))
        scored = true_score(batch)
        assert batch.plan is not None
        assert batch.plan._masks
        read.append(batch)
        return scored

    monkeypatch.setattr(loss, "score", score)
    held_out(tokenizer, ["a", "b", "c", "d"]).check(model, loss, budget=packs, pause=lambda: None)
    assert kept == [0, 0, 0, 0]


NEWLINE_AFTER = TEMPLATE.replace("<|end|>{% endgeneration %}", "<|end|>\n{% endgeneration %}")


@pytest.mark.parametrize("template", [TEMPLATE, NEWLINE_AFTER])
def test_a_stop_token_is_learned_from_the_rows(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    tokenizer.chat_template = template
    rows = held_out(tokenizer, ["a", "b", "c", "d"])
    assert rows._ends == {tokenizer.convert_tokens_to_ids("<|end|>")}
    assert rows.questions == len(rows) == 4


def test_checking_can_be_left_between_two_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, greedy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    def forward(*arguments: object, **named: object) -> object:
        nonlocal read
        read += 1
        return true_forward(*arguments, **named)

    def pause() -> None:
        if read > 0:
            raise Leave("pause")

    loss = TrainedTokenLoss(model)
    true_forward = model.forward
    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(Leave):
        held_out(tokenizer, [text + " and more" for text in greedy]).check(model, loss, budget=budget(), pause=pause)
    assert read == 1


def test_a_prompt_that_fills_the_context_is_wrong_and_takes_no_room_from_others(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, greedy: list[str]
) -> None:
    masker = Masker(tokenizer, chat_template(tokenizer))
    lengths = [len(masker.prompt_ids(chat(text))) for text in PROMPTS]
    rows = held_out(tokenizer, [f" {answer}" for answer in greedy], context=max(lengths))
    assert rows.check(model, TrainedTokenLoss(model), budget=budget(), pause=lambda: None)["eval/exact_match"] == 0.75


@pytest.mark.parametrize("least", [1, 2])
def test_checking_goes_on_in_smaller_pieces_when_memory_runs_out(
    least: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, greedy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, loss = held_out(tokenizer, [f" {answer}" for answer in greedy]), TrainedTokenLoss(model)
    expected = rows.check(model, loss, budget=budget(), pause=lambda: None)
    true_score = loss.score

    def answers(*arguments: Any) -> Any:
        if len(arguments[1]) > least:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return greedy_answers(*arguments)

    def score(batch: Batch) -> Any:
        if len(batch.rows) > least:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return true_score(batch)

    monkeypatch.setattr(evaluate, "greedy_answers", answers)
    monkeypatch.setattr(loss, "score", score)
    told = io.BytesIO()
    assert rows.check(model, loss, budget=budget(told=told), pause=lambda: None) == pytest.approx(expected)
    assert b"Memory does not hold 4 rows" in told.getvalue()


def test_answers_are_asked_for_within_the_budget(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, greedy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def answers(*given: Any) -> Any:
        asked.append(len(given[1]))
        return greedy_answers(*given)

    monkeypatch.setattr(evaluate, "greedy_answers", answers)
    rows = held_out(tokenizer, [f" {answer}" for answer in greedy])
    for given in (budget(), budget(rows=3), budget(tokens=1)):
        rows.check(model, TrainedTokenLoss(model), budget=given, pause=lambda: None)
    assert asked == [4, 3, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "rows"),
    [({"max_steps": 20, "batch_size": 16}, 128), ({"max_steps": 200, "batch_size": 16}, 400), ({"epochs": 100}, 1024)],
)
def test_no_more_rows_are_checked_than_are_trained_between_two_checks(settings: dict[str, int], rows: int) -> None:
    assert rows_to_check(TrainingSettings.model_validate(settings), 10_000) == rows


def test_the_rows_to_check_are_bounded(tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(held_out(tokenizer, ["a", "b", "c", "d"], most=2)) == 2
