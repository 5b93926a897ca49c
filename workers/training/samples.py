"""Samples: what the model answers to the same few prompts at each checkpoint, so that people see what it learns.

They are a courtesy: a few prompts in one batch, for some seconds, and no run fails or is held up for them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Literal

import torch

from app.domain.datasets import Message
from app.domain.events import Sample
from workers.training.control import Leave
from workers.training.evaluate import plain_text, special_ids, stop_ids
from workers.training.generate import Limits, greedy_answers
from workers.training.memory import as_out_of_memory
from workers.training.turns import NotTrainable, last_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from workers.training.masks import Masker
    from workers.training.report import Reporter
    from workers.training.rows import Row, Rows

Origin = Literal["held_out", "training", "own"]
SAMPLED_ROWS, LOOKED_AT = 4, 32
"""Of so many rows the first that can be asked are."""
MOST_TOKENS, LEAST_TOKENS = 96, 32
"""An answer may be twice as long as the expected one, within these; of a prompt without one it may be the longer."""
MOST_SECONDS = 5.0
"""After so long all answers end where they are."""
FIRST_TAKEN, SHARE = 20, 0.05
"""So often samples come with every checkpoint; then only while they take no more than this share of the time."""
SHOWN_CHARACTERS = 4_000


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it, how many tokens its answer may have, and all of it as people read it."""

    ids: list[int]
    most: int
    origin: Origin
    row: int | None
    turns: list[Message]
    expected: str | None = None


@dataclass(frozen=True)
class Asked:
    """The prompts of a run, always the same ones, and the tokens at which answers to rows like theirs end."""

    prompts: list[Prompt]
    ends: frozenset[int]
    tokenizer: PreTrainedTokenizerBase


def choose_prompts(rows: Rows, masker: Masker, own: Sequence[str], *, context: int) -> Asked:
    """Return the held-out rows with the lowest hashes as prompts, where there are none the first training rows; and one's own."""
    found = _Chosen(masker, context)
    found.take(nsmallest(LOOKED_AT, rows.held_out, key=lambda row: row.hash), "held_out")
    if not found.prompts:
        found.take(islice(rows.train, LOOKED_AT), "training")
    system = found.shared_system()
    for text in own:
        found.add_own([*system, Message(role="user", content=text)])
    return Asked(found.prompts, special_ids(masker.tokenizer) & found.ends, masker.tokenizer)


@dataclass
class _Chosen:
    """The prompts that were found so far, and with what the rows' answers end."""

    masker: Masker
    context: int
    prompts: list[Prompt] = field(default_factory=list)
    ends: set[int] = field(default_factory=set)
    first_turns: list[Message] = field(default_factory=list)

    def take(self, rows: Iterable[Row], origin: Origin) -> None:
        """Take the first rows that the template can ask and that leave room for an answer."""
        for row in rows:
            if len(self.prompts) == SAMPLED_ROWS:
                return
            last = last_answer(row.messages)
            if not last:  # a text answers nothing, and an answer at the very beginning has no prompt
                continue
            try:
                masked = self.masker.mask(row.messages, row.tools)
                ids = self.masker.prompt_ids(row.messages[:last], row.tools)
            except NotTrainable:
                continue
            expected = _said(row.messages[last])
            wanted = 2 * len(self.masker.tokenizer(expected, add_special_tokens=False)["input_ids"])
            most = min(max(LEAST_TOKENS, wanted), MOST_TOKENS, self.context - len(ids))
            places = masked.trained.nonzero()[0]
            if most < 1 or not len(places):
                continue
            self.ends.add(int(masked.ids[places[-1]]))
            self.first_turns.append(row.messages[0])
            self.prompts.append(Prompt(ids, most, origin, row.number, _shown(row.messages[:last]), expected[:SHOWN_CHARACTERS]))

    def add_own(self, turns: list[Message]) -> None:
        """Add a prompt that is no row's, if there is room for an answer."""
        try:
            ids = self.masker.prompt_ids(turns)
        except NotTrainable:
            return
        most = min(MOST_TOKENS, self.context - len(ids))
        if most >= 1:
            self.prompts.append(Prompt(ids, most, "own", None, _shown(turns)))

    def shared_system(self) -> list[Message]:
        """Return the system message that all rows begin with: without it one's own prompts would be asked in another way."""
        first = self.first_turns[:1]
        return first if first and first[0].role == "system" and all(turn == first[0] for turn in self.first_turns) else []


def _said(message: Message) -> str:
    """Return a turn as a person reads it: what it says, and its calls of tools."""
    return "\n".join(filter(None, [message.content.strip(), *(json.dumps(call["function"]) for call in message.tool_calls or [])]))


def _shown(messages: Sequence[Message]) -> list[Message]:
    return [Message(role=message.role, content=_said(message)[:SHOWN_CHARACTERS]) for message in messages]


class Samples:
    """Asks a run's prompts now and then, and reports the answers."""

    def __init__(self, asked: Asked, model: PreTrainedModel, reporter: Reporter) -> None:
        self._model, self._reporter = model, reporter
        self._prompts, self._tokenizer = asked.prompts, asked.tokenizer
        self._stops = stop_ids(model, asked.tokenizer) | asked.ends
        self._taken, self._taken_at, self._seconds = 0, 0.0, 0.0

    def are_due(self) -> bool:
        """Whether others are worth their time: the first ones always are, later ones when training took much longer meanwhile."""
        return self._taken < FIRST_TAKEN or time.monotonic() - self._taken_at >= self._seconds / SHARE

    def take(self, step: int, *, pause: Callable[[], None]) -> None:
        """Report the greedy answer to each prompt; `pause` is called between tokens, and may raise to leave."""
        while self._prompts:
            began = time.monotonic()
            try:
                answers, cut = self._ask(pause)
            except Leave:
                raise
            except Exception as error:  # noqa: BLE001 - a courtesy: whatever goes wrong here, the training goes on
                short = as_out_of_memory(error)
                self._fewer("Memory does not hold them." if short else f"They could not be asked ({type(error).__name__}).")
                torch.cuda.empty_cache()
                continue
            self._tell(step, answers, cut)
            self._taken_at = time.monotonic()
            self._taken, self._seconds = self._taken + 1, self._taken_at - began
            if self._seconds > 2 * MOST_SECONDS:  # it is the reading of the prompts that takes long
                self._fewer(f"Asking them took {self._seconds:.0f} s.")
            return

    def _ask(self, pause: Callable[[], None]) -> tuple[list[list[int]], set[int]]:
        """Return each prompt's answer, and which of them would have gone on."""
        until, cut = time.monotonic() + MOST_SECONDS, set[int]()

        def go_on(place: int, ids: list[int]) -> bool:
            pause()
            if len(ids) < self._prompts[place].most and time.monotonic() < until:
                return True
            cut.add(place)
            return False

        limits = Limits(self._stops, max(prompt.most for prompt in self._prompts))
        return greedy_answers(self._model, [prompt.ids for prompt in self._prompts], limits, go_on), cut

    def _tell(self, step: int, answers: list[list[int]], cut: set[int]) -> None:
        for place, (prompt, ids) in enumerate(zip(self._prompts, answers, strict=True)):
            told = Sample(
                step=step, place=place, origin=prompt.origin, row=prompt.row, prompt=prompt.turns, expected=prompt.expected,
                answer=plain_text(self._tokenizer, ids).strip(), is_cut=place in cut,
            )  # fmt: skip
            self._reporter.emit(told)

    def _fewer(self, why: str) -> None:
        """Ask half as many from now on, and none when one is too many."""
        before = len(self._prompts)
        self._prompts = self._prompts[: before // 2]
        left = f"the first {len(self._prompts)} of {before}" if self._prompts else "none"
        self._reporter.notice(f"Of the prompts for samples {left} will be asked from now on. {why} The training is not touched by that.")
