"""Exact match is what greedy decoding gives, and nothing else; the short cuts change no figure."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from app.domain.datasets import Split, row_hash
from tests.workers.training.tiny import CONTEXT, TEMPLATE, chat
from workers.training import evaluate
from workers.training.evaluate import HeldOut
from workers.training.generate import Limits, greedy_answers
from workers.training.loss import TrainedTokenLoss
from workers.training.masks import Masker
from workers.training.model import load_tokenizer
from workers.training.prepare import prepare
from workers.training.rows import Row
from workers.training.templates import chat_template

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


def held_out(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, answers: list[str]) -> HeldOut:
    masker = Masker(tokenizer, chat_template(tokenizer))
    conversations = [chat(text, answer) for text, answer in zip(PROMPTS, answers, strict=True)]
    rows = [Row(messages, row_hash(messages), Split.TEST) for messages in conversations]
    masked = prepare(rows, masker, CONTEXT, check=lambda: None).rows
    return HeldOut(list(zip(rows, masked, strict=True)), masker, tokenizer, CONTEXT)


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
    measured = held_out(model, tokenizer, expected).check(model, loss, pause=lambda: None)
    assert measured["eval/exact_match"] == 0.5


NEWLINE_AFTER = TEMPLATE.replace("<|end|>{% endgeneration %}", "<|end|>\n{% endgeneration %}")


@pytest.mark.parametrize("template", [TEMPLATE, NEWLINE_AFTER])
def test_a_stop_token_is_learned_from_the_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    tokenizer.chat_template = template
    rows = held_out(model, tokenizer, ["a", "b", "c", "d"])
    assert rows._ends == {tokenizer.convert_tokens_to_ids("<|end|>")}
    assert rows.questions == len(rows) == 4
