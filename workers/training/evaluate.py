"""Checking a model on held-out rows: nats per trained token, and the share of greedy answers that are exactly right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from workers.training.generate import Limits, greedy_answers
from workers.training.masks import MaskedRow
from workers.training.turns import NotTrainable, last_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from app.domain.specs import TrainingSettings
    from workers.training.batches import Batch
    from workers.training.budget import Budget
    from workers.training.loss import TrainedTokenLoss
    from workers.training.masks import Masker
    from workers.training.rows import Row

LOSS_ROWS = 1_024
"""Held-out rows whose loss is measured at most."""
MATCH_ROWS = 128
MARGIN_TOKENS = 16
ROWS_AT_ONCE = 32
ANSWERING_SHARE = 4
"""A token read for an answer takes about this much less memory than one read for a gradient."""


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

    def __init__(self, rows: Sequence[tuple[Row, MaskedRow]], masker: Masker, *, context: int, most: int) -> None:
        usable = [(row, masked) for row, masked in rows if masked.trained[1:].any()]
        self._rows = sorted(usable, key=lambda pair: pair[0].hash)[:most]
        self._tokenizer = masker.tokenizer
        self._context = context
        asked = (_question(number, row, masked, masker) for number, (row, masked) in enumerate(self._rows[:MATCH_ROWS]))
        self._questions = [question for question in asked if question is not None]
        self._ends = frozenset(int(masked.ids[-1]) for _, masked in self._rows if not masked.cut) & special_ids(masker.tokenizer)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def questions(self) -> int:
        """Return on how many rows exact matches are counted."""
        return len(self._questions)

    def check(self, model: PreTrainedModel, loss: TrainedTokenLoss, *, budget: Budget, pause: Callable[[], None]) -> dict[str, float]:
        """Return eval/loss and eval/exact_match; `pause` is called between batches and tokens, and may raise to leave."""
        if not self._rows:
            return {}
        summed, count, hits = self._loss(loss, budget, pause)
        measured = {"eval/loss": summed / count}
        if self._questions:
            measured["eval/exact_match"] = self._matches(model, hits, budget, pause) / len(self._questions)
        return measured

    def _loss(self, loss: TrainedTokenLoss, budget: Budget, pause: Callable[[], None]) -> tuple[float, int, dict[int, torch.Tensor]]:
        def compute(batches: list[Batch]) -> tuple[float, int, dict[int, torch.Tensor]]:
            summed, count, hits = 0.0, 0, dict[int, torch.Tensor]()
            for batch in batches:
                pause()
                scored = loss.score(batch)
                summed, count = summed + scored.loss, count + len(batch.targets)
                hits |= _by_row(batch, scored.hits)
                batch.forget()
            return summed, count, hits

        numbered = [(number, masked) for number, (_, masked) in enumerate(self._rows)]
        return budget.fitting(numbered, compute, undo=lambda: None, learns=False)

    def _matches(self, model: PreTrainedModel, hits: dict[int, torch.Tensor], budget: Budget, pause: Callable[[], None]) -> int:
        """Count right answers; where every token of the expected answer was the greedy choice, nothing needs to be generated."""
        known = {q.row for q in self._questions if q.teacher_forced and bool(hits[q.row][-q.answer_tokens :].all())}
        # A prompt that leaves no room for an answer cannot be answered rightly.
        rest = sorted((q for q in self._questions if q.row not in known and self._room(q) > 0), key=lambda q: len(q.prompt))
        right = len(known)
        while rest:
            pause()
            asked, tokens = self._at_once(rest, budget)
            try:
                right += self._generate(model, asked, pause)
            except (RuntimeError, MemoryError) as error:
                if not budget.narrow(error, rows=len(asked), tokens=tokens // ANSWERING_SHARE):
                    raise
                continue
            rest = rest[len(asked) :]
        return right

    def _room(self, question: Question) -> int:
        """Return how long its answer may become: a little more than the right one, and within what the model can read."""
        return min(question.answer_tokens + MARGIN_TOKENS, self._context - len(question.prompt))

    def _at_once(self, questions: list[Question], budget: Budget) -> tuple[list[Question], int]:
        """Return the questions to ask next, shortest first, and how many padded tokens that takes."""
        asked: list[Question] = []
        tokens = longest = 0
        for question in questions[: min(budget.rows or ROWS_AT_ONCE, ROWS_AT_ONCE)]:
            longest = max(longest, len(question.prompt) + self._room(question))
            if asked and (len(asked) + 1) * longest > budget.tokens * ANSWERING_SHARE:
                break
            asked.append(question)
            tokens = len(asked) * longest
        return asked, tokens

    def _generate(self, model: PreTrainedModel, asked: list[Question], pause: Callable[[], None]) -> int:
        rooms = [self._room(question) for question in asked]

        def go_on(place: int, ids: list[int]) -> bool:
            pause()
            return len(ids) < rooms[place] and self._may_be_right(asked[place], ids)

        limits = Limits(stop_ids(model, self._tokenizer) | self._ends, max(rooms))
        answers = greedy_answers(model, [q.prompt for q in asked], limits, go_on)
        return sum(self._text(ids) in q.right for q, ids in zip(asked, answers, strict=True))

    def _may_be_right(self, question: Question, ids: list[int]) -> bool:
        """Say whether an answer begun like this can still become a right one; most wrong answers end after a token or two."""
        begun = plain_text(self._tokenizer, ids).lstrip().rstrip("\ufffd")
        return any(text.startswith(begun) or begun.rstrip() == text for text in question.right)

    def _text(self, ids: list[int]) -> str:
        return plain_text(self._tokenizer, ids).strip()


def rows_to_check(settings: TrainingSettings, training_rows: int) -> int:
    """Return how many held-out rows to measure at most: no more than are trained between two checks, so that checking stays cheap."""
    decided = settings.filled_in(training_rows=training_rows, parameters=None)
    between = decided.total_steps(training_rows) if decided.eval_every_steps == "auto" else decided.eval_every_steps
    return min(LOSS_ROWS, max(MATCH_ROWS, between * decided.batch_size))


def plain_text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Return what some tokens say, without special ones."""
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that are no text: those that were added to the vocabulary, and those with a role."""
    return frozenset({*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids})


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens at which this model's answers end."""
    found: set[int] = set()
    for known in (tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)):
        found |= set(known) if isinstance(known, list) else {known} if isinstance(known, int) else set()
    return frozenset(found)


def _question(number: int, row: Row, masked: MaskedRow, masker: Masker) -> Question | None:
    """Return the row up to its last answer; None when the template refuses that, or when it is a text that answers nothing."""
    last = last_answer(row.messages)
    if last is None:
        return None
    try:
        prompt = masker.prompt_ids(row.messages[:last], row.tools)
    except NotTrainable:
        return None
    answer = row.messages[last]
    content = answer.content.strip()
    if masked.cut:
        if answer.tool_calls:
            return None  # nobody knows the text that the template would have made of the rest
        return Question(number, prompt, frozenset({content}), len(masker.tokenizer(content, add_special_tokens=False)["input_ids"]), False)
    begins = int((~masked.trained).nonzero()[0][-1]) + 1 if not masked.trained.all() else 0
    expected = masked.ids[begins:].tolist()
    texts = {plain_text(masker.tokenizer, expected).strip()} | (set() if answer.tool_calls else {content})
    same = masked.ids[:begins].tolist() == prompt
    return Question(number, prompt, frozenset(texts), len(expected), same)


def _by_row(batch: Batch, hits: torch.Tensor) -> dict[int, torch.Tensor]:
    return dict(zip(batch.rows, hits.split(batch.counts), strict=True))
