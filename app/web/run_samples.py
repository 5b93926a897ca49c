"""A run's samples as its page shows them: one checkpoint at a time, with what differs from the expected answer marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.db.run_samples import read_samples, sampled_steps
from app.web import words
from app.web.rows_view import Piece
from app.web.word_diff import Comparing

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.db.run_samples import SampleAnswer, Sampled

ALIKE = 0.3
"""An answer of which less is in the expected one differs all over: marks would say nothing."""


@dataclass(frozen=True)
class Answer:
    """What was answered, with marks where it helps."""

    pieces: list[Piece]
    is_cut: bool
    is_right: bool


@dataclass(frozen=True)
class Shown:
    """One prompt: where it is from, its turns, and the answers to it."""

    origin: str
    turns: list[dict[str, Any]]
    expected: str | None
    base: Answer | None
    answer: Answer | None

    @property
    def question(self) -> str:
        """The last thing that was said before the answer."""
        return str(self.turns[-1]["content"]) if self.turns else ""

    @property
    def before(self) -> str:
        """What stands before that, in words."""
        earlier = self.turns[:-1]
        is_system = [turn["role"] for turn in earlier] == ["system"]
        return "System prompt" if is_system else f"{words.plural(len(earlier), 'turn')} before that" if earlier else ""


@dataclass(frozen=True)
class RunSamples:
    """The samples of one checkpoint; `index` is its place among `steps`."""

    steps: list[int]
    index: int
    shown: list[Shown]

    @property
    def step(self) -> int:
        """The step these are of."""
        return self.steps[self.index]

    @property
    def is_newest(self) -> bool:
        """Whether no later ones are there: then the page goes on to those that come."""
        return self.index == len(self.steps) - 1

    @property
    def are_trained_on(self) -> bool:
        """Whether no row was held out, so that rows are asked which it learns from."""
        return any(one.origin.startswith("training") for one in self.shown)

    @property
    def have_marks(self) -> bool:
        """Whether something is marked."""
        return any(piece.kind for one in self.shown if one.answer for piece in one.answer.pieces)

    def name_of(self, index: int) -> str:
        """Return what a checkpoint is called."""
        return f"step {words.count(self.steps[index])}" if self.steps[index] else "the base"


def read_run_samples(session: Session, run_id: str, index: int | None) -> RunSamples | None:
    """Return the samples of a run's checkpoint, by its place; the newest by default, and None while there are none."""
    steps = sampled_steps(session, run_id)
    if not steps:
        return None
    last = len(steps) - 1
    index = last if index is None else min(index, last)
    comparing = Comparing()
    return RunSamples(steps, index, [_shown(one, comparing) for one in read_samples(session, run_id, steps[index])])


def _shown(one: Sampled, comparing: Comparing) -> Shown:
    prompt = one.prompt
    number = f"row {words.count(prompt.row)}" if prompt.row else ""
    origin = {"held_out": f"held-out {number}", "training": f"training {number}"}.get(prompt.origin, "your own prompt")
    base = _answer(one.base, prompt.expected) if one.base else None
    answer = _answer(one.answer, prompt.expected, comparing) if one.answer else None
    return Shown(origin, prompt.prompt, prompt.expected, base, answer)


def _answer(given: SampleAnswer, expected: str | None, comparing: Comparing | None = None) -> Answer:
    plain, is_right = [Piece(given.answer)] if given.answer else [], given.answer == (expected or "").strip() != ""
    if comparing is None or expected is None or is_right or not given.answer:
        return Answer(plain, given.is_cut, is_right)
    _, pieces = comparing.differences(expected, given.answer)
    alike = sum(len(piece.text) for piece in pieces if not piece.kind)
    return Answer(pieces if alike >= ALIKE * len(given.answer) else plain, given.is_cut, is_right)
