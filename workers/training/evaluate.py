"""Checking a model on held-out rows: nats per trained token, and the share of greedy answers that are exactly right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from workers.training.batches import TOKENS_PER_MICRO_BATCH, Batch, micro_batches
from workers.training.generate import Limits, greedy_answers
from workers.training.masks import MaskedRow, NotTrainable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from workers.training.loss import TrainedTokenLoss
    from workers.training.masks import Masker
    from workers.training.rows import Row

LOSS_ROWS = 1_024
"""Held-out rows whose loss is measured at most, so that checking never takes longer than training."""
MATCH_ROWS = 128
MARGIN_TOKENS = 16
ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class Question:
    """A held-out row as a model is asked it: the prompt, and the answers that count as right."""

    row: int
    prompt: list[int]
    right: frozenset[str]
    answer_tokens: int
    teacher_forced: bool
    """The masked row begins with this very prompt, so its hits say what greedy decoding would say."""


class HeldOut:
    """The held-out rows of a run, always the same ones: those with the lowest hashes, which is as good as drawing lots."""

    def __init__(self, rows: Sequence[tuple[Row, MaskedRow]], masker: Masker, tokenizer: PreTrainedTokenizerBase, context: int) -> None:
        usable = [(row, masked) for row, masked in rows if masked.trained[1:].any()]
        self._rows = sorted(usable, key=lambda pair: pair[0].hash)[:LOSS_ROWS]
        self._tokenizer = tokenizer
        self._context = context
        asked = (_question(number, row, masked, masker, tokenizer) for number, (row, masked) in enumerate(self._rows[:MATCH_ROWS]))
        self._questions = [question for question in asked if question is not None]
        known = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
        self._ends = frozenset(int(masked.ids[-1]) for _, masked in self._rows if not masked.cut) & known

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def questions(self) -> int:
        """Return on how many rows exact matches are counted."""
        return len(self._questions)

    def check(self, model: PreTrainedModel, loss: TrainedTokenLoss, *, pause: Callable[[], None]) -> dict[str, float]:
        """Return eval/loss and eval/exact_match; `pause` is called between batches and may raise to leave."""
        if not self._rows:
            return {}
        summed, count, hits = self._loss(loss, pause)
        measured = {"eval/loss": summed / count}
        if self._questions:
            measured["eval/exact_match"] = self._matches(model, hits, pause) / len(self._questions)
        return measured

    def _loss(self, loss: TrainedTokenLoss, pause: Callable[[], None]) -> tuple[float, int, dict[int, torch.Tensor]]:
        numbered = [(number, masked) for number, (_, masked) in enumerate(self._rows)]
        summed, count, hits = 0.0, 0, dict[int, torch.Tensor]()
        for batch in micro_batches(numbered, size=None, token_budget=TOKENS_PER_MICRO_BATCH[loss.device.type]):
            pause()
            scored = loss.score(batch)
            summed, count = summed + scored.loss, count + len(batch.targets)
            hits |= _by_row(batch, scored.hits)
        return summed, count, hits

    def _matches(self, model: PreTrainedModel, hits: dict[int, torch.Tensor], pause: Callable[[], None]) -> int:
        """Count right answers; where every token of the expected answer was the greedy choice, nothing needs to be generated."""
        known = {q.row for q in self._questions if q.teacher_forced and bool(hits[q.row][-q.answer_tokens :].all())}
        rest = sorted((q for q in self._questions if q.row not in known), key=lambda q: len(q.prompt))
        right = len(known)
        for start in range(0, len(rest), ROWS_AT_ONCE):
            pause()
            right += self._generate(model, rest[start : start + ROWS_AT_ONCE])
        return right

    def _generate(self, model: PreTrainedModel, asked: list[Question]) -> int:
        longest = max(len(q.prompt) for q in asked)
        most = min(max(q.answer_tokens for q in asked) + MARGIN_TOKENS, self._context - longest)
        limits = Limits(stop_ids(model, self._tokenizer) | self._ends, most)
        answers = greedy_answers(model, [q.prompt for q in asked], limits, lambda place, ids: self._may_be_right(asked[place], ids))
        return sum(self._text(ids) in q.right for q, ids in zip(asked, answers, strict=True))

    def _may_be_right(self, question: Question, ids: list[int]) -> bool:
        """Say whether an answer begun like this can still become a right one; most wrong answers end after a token or two."""
        begun = plain_text(self._tokenizer, ids).lstrip().rstrip("\ufffd")
        return any(text.startswith(begun) or begun.rstrip() == text for text in question.right)

    def _text(self, ids: list[int]) -> str:
        return plain_text(self._tokenizer, ids).strip()


def plain_text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Return what some tokens say, without special ones."""
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens at which this model's answers end."""
    found: set[int] = set()
    for known in (tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)):
        found |= set(known) if isinstance(known, list) else {known} if isinstance(known, int) else set()
    return frozenset(found)


def _question(number: int, row: Row, masked: MaskedRow, masker: Masker, tokenizer: PreTrainedTokenizerBase) -> Question | None:
    """Return the row up to its last answer; None when the template refuses that."""
    last = max(index for index, message in enumerate(row.messages) if message.role == "assistant")
    try:
        prompt = masker.prompt_ids(row.messages[:last])
    except NotTrainable:
        return None
    content = row.messages[last].content.strip()
    if masked.cut:
        return Question(number, prompt, frozenset({content}), len(tokenizer(content, add_special_tokens=False)["input_ids"]), False)
    begins = int((~masked.trained).nonzero()[0][-1]) + 1 if not masked.trained.all() else 0
    expected = masked.ids[begins:].tolist()
    texts = {content, plain_text(tokenizer, expected).strip()}
    same = masked.ids[:begins].tolist() == prompt
    return Question(number, prompt, frozenset(texts), len(expected), same)


def _by_row(batch: Batch, hits: torch.Tensor) -> dict[int, torch.Tensor]:
    counts = batch.predicts.sum(-1).tolist()
    return dict(zip(batch.rows, hits.split(counts), strict=True))
