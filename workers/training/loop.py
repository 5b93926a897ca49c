"""Hone's step loop: a step takes exactly its rows, can be abandoned half-way, and leaves the run where it can be taken up again."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from workers.training.beginning import FirstWeights
from workers.training.divergence import Divergence, check_numbers
from workers.training.memory import held_bytes, peak_bytes
from workers.training.optim import learning_rate, set_rate
from workers.training.replicas import ReplicaLost
from workers.training.report import TRAINING
from workers.training.room import NotSaved
from workers.training.state import RandomState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.domain.specs import TrainingSettings
    from workers.training.batches import Batch
    from workers.training.budget import Budget, Rows
    from workers.training.control import Control
    from workers.training.evaluate import HeldOut
    from workers.training.masks import MaskedRow
    from workers.training.model import LoadedModel
    from workers.training.order import DataOrder
    from workers.training.replicas import Replicas
    from workers.training.report import Reporter
    from workers.training.samples import Samples

CHECKPOINT_SECONDS, MOST_CHECKPOINT_SECONDS = 120.0, 300.0
"""With checkpoint_every_steps auto, a checkpoint comes after the first; where saving takes long, up to the second."""
SAVING_SHARE = 0.05
"""So much of the time saving may take before checkpoints come less often."""
MEMORY_SECONDS = 1.0
"""How often the memory in use is told."""
ROOM_SECONDS = 5.0
"""How long the last checkpoint waits for a disk that is full: the supervisor lets an older one go."""


@dataclass
class Standing:
    """Where the run stands: the last finished step, and what is known about it."""

    step: int = 0
    evaluated_step: int | None = None
    saved_step: int = 0
    base_metrics: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    first_losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class StepResult:
    """What one step came to."""

    loss: float
    gradient_norm: float
    rate: float
    tokens_per_second: float
    rows: list[int]
    """As people call them."""
    is_trained: bool
    """Whether there was a token to learn from; without one there is no loss, and nothing moved."""


@dataclass
class StepLoop:
    """Everything the loop needs; `save` writes a checkpoint of the present standing and returns its folder."""

    model: LoadedModel
    optimiser: torch.optim.Optimizer
    rows: list[MaskedRow]
    numbers: list[int]
    """What people call the rows."""
    order: DataOrder
    held_out: HeldOut
    samples: Samples
    settings: TrainingSettings
    budget: Budget
    total_steps: int
    control: Control
    reporter: Reporter
    save: Callable[[], Path]
    watch: Callable[[int, StepResult], None]
    replicas: Replicas
    standing: Standing = field(default_factory=Standing)
    _saved_at: float = field(default_factory=time.monotonic)
    _saving_seconds: float = 0.0
    _told_not_saved: bool = False
    _peak: int = 0
    _memory_told_at: float = float("-inf")
    _divergence: Divergence = field(init=False)
    _first: FirstWeights | None = field(init=False)
    """What an adapter began with, until the base was checked; weights of the base itself would take too much room twice."""

    def __post_init__(self) -> None:
        self._divergence = Divergence(self.model.loss.vocabulary, self.standing.first_losses)
        self._first = FirstWeights(self.model.trainable()) if self.model.peft else None

    def run(self) -> None:
        """Train to the last step; a checkpoint comes before a check, which may take longer than one is given to leave."""
        if self.standing.step or not self._first:
            self._check_base()
        if self.standing.step:
            self._evaluate_if_due()
        while self.standing.step < self.total_steps:
            self.control.check()
            self._take_step()
            # Only now: whoever launched the run sees its curve begin, and may wait for the check then.
            self._check_base()
            is_kept = self._checkpoint_is_due()
            if is_kept:
                self._try_checkpoint()
            self._evaluate_if_due()
            if is_kept and (self.samples.are_due() or self.standing.step == self.total_steps):
                self._sample(self.standing.step)

    @property
    def is_astray(self) -> bool:
        """Say whether what the last step came to is worth less than the last checkpoint: one bad batch is no divergence."""
        return bool(self.standing.saved_step) and self._divergence.steps_astray > 1

    def last_checkpoint(self) -> None:
        """Save the last finished step before leaving; NotSaved when the disk still does not take it."""
        if self._try_checkpoint():
            return
        deadline = time.monotonic() + ROOM_SECONDS
        while time.monotonic() < deadline:
            time.sleep(ROOM_SECONDS / 20)
            try:
                self._checkpoint()
            except NotSaved:
                continue
            return
        self._checkpoint()

    def _try_checkpoint(self) -> bool:
        """Save, unless the disk does not take it: then say so once, and go on until the next one is due."""
        try:
            self._checkpoint()
        except NotSaved as why:
            self._saved_at = time.monotonic()
            if not self._told_not_saved:
                words = f"{why.message} Step {self.standing.step} could not be saved; it is tried again with the next checkpoint."
                self.reporter.notice(words, code=why.code, **why.data)
            self._told_not_saved = True
            return False
        return True

    def _checkpoint(self) -> None:
        """Save the last finished step, and say so once the checkpoint is whole."""
        step, began = self.standing.step, time.monotonic()
        if step == self.standing.saved_step:
            return
        self.reporter.doing("saving a checkpoint")
        folder = self.save()
        self.standing.saved_step = step
        self._saved_at = time.monotonic()
        self._saving_seconds = self._saved_at - began
        self._told_not_saved = False
        self.reporter.checkpoint(step, f"{folder.parent.name}/{folder.name}")

    def _take_step(self) -> None:
        number = self.standing.step + 1
        generators = RandomState.now()
        try:
            result = self._optimise(number, generators)
        except BaseException:
            # Whoever saves now must save the state before this step.
            self._abandon(generators)
            raise
        self.standing.step = number
        self._report(number, result)
        if result.is_trained:
            self._divergence.look(number, result.loss, result.gradient_norm, result.rows)

    def _abandon(self, generators: RandomState) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        generators.restore()

    def _optimise(self, number: int, generators: RandomState) -> StepResult:
        """Compute one step's gradient over all of its rows, whatever the micro-batches, and move the adapter."""
        began = time.perf_counter()
        chosen = self.order.step(number)
        rate = learning_rate(self.settings, number, self.total_steps)
        batches, (loss, norm) = self._computed([(row, self.rows[row]) for row in chosen], generators)
        named = [self.numbers[row] for row in chosen]
        check_numbers(number, loss, norm, named)
        if batches:  # a step without trained tokens leaves weights and optimiser alone
            set_rate(self.optimiser, rate)
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        tokens = sum(batch.tokens for batch in batches)
        return StepResult(loss, norm, rate, tokens / seconds, named, is_trained=bool(batches))

    def _computed(self, rows: Rows, generators: RandomState) -> tuple[list[Batch], tuple[float, float]]:
        """Return a step's batches, and the loss and the norm they come to; alone, where a replica fails."""

        def compute(batches: list[Batch]) -> tuple[list[Batch], tuple[float, float]]:
            return batches, self._gradient(batches)

        def undo() -> None:
            self._abandon(generators)

        try:
            return self.budget.fitting(rows, compute, undo=undo)
        except ReplicaLost as why:
            undo()
            self.replicas.close()
            self.budget.processes = 1
            self.reporter.notice(f"{why} The run goes on without them: steps take longer, and come to the same.")
        return self.budget.fitting(rows, compute, undo=undo)

    def _gradient(self, batches: list[Batch]) -> tuple[float, float]:
        """Return the step's loss per trained token and the norm of its gradient, which is left in the parameters, clipped."""
        if not batches:
            return 0.0, 0.0
        tokens = sum(len(batch.targets) for batch in batches)
        summed = 0.0
        self.model.set_dropout(active=True)
        with self.replicas.computing(batches, tokens, partial(self._still, TRAINING)) as (mine, losses):
            for batch in mine:
                self._still(TRAINING)
                summed += self.model.loss.learn(batch, tokens)
        summed += sum(losses)
        self.model.set_dropout(active=False)
        norm = torch.nn.utils.clip_grad_norm_(self.model.trainable(), self.settings.max_grad_norm)
        return summed / tokens, float(norm)

    def _report(self, step: int, result: StepResult) -> None:
        self.reporter.metric(step, "train/learning_rate", result.rate)
        if result.is_trained:
            self.reporter.metric(step, "train/loss", result.loss)
            self.reporter.metric(step, "train/grad_norm", result.gradient_norm)
        self.reporter.metric(step, "train/tokens_per_second", result.tokens_per_second)
        self._report_memory(step)
        self.watch(step, result)

    def _report_memory(self, step: int) -> None:
        peak, now = peak_bytes(self.model.device) + self.replicas.held, time.monotonic()
        if peak > self._peak:
            self._peak = peak
            self.reporter.metric(step, "memory/peak_bytes", peak)
        # It changes little between two steps, and a point for each would be kept for ever.
        if now - self._memory_told_at >= MEMORY_SECONDS or step == self.total_steps:
            self._memory_told_at = now
            self.reporter.metric(step, "memory/bytes", held_bytes(self.model.device) + self.replicas.held)

    def _check_base(self) -> None:
        """Check the model as it was before the first step, and have it answer, unless that was done already."""
        if self.standing.evaluated_step is None:
            with self._first.in_place() if self._first else nullcontext():
                self._sample(0)
                self._evaluate(0)
            self.standing.base_metrics = self.standing.metrics
        self._first = None

    def _evaluate_if_due(self) -> None:
        step = self.standing.step
        every = self.settings.eval_every_steps
        due = step == self.total_steps or (every != "auto" and step % every == 0)
        if due and self.standing.evaluated_step != step:
            self._evaluate(step)

    def _evaluate(self, step: int) -> None:
        pause = partial(self._still, "checking on held-out rows")
        measured = self.held_out.check(self.model.base, self.model.loss, budget=self.budget, pause=pause)
        self.standing.evaluated_step = step
        self.standing.metrics = measured
        for name, value in measured.items():
            self.reporter.metric(step, name, value)

    def _sample(self, step: int) -> None:
        self.samples.take(step, pause=partial(self._still, "answering the sample prompts"))

    def _checkpoint_is_due(self) -> bool:
        if self._divergence.steps_astray:  # the last good one is to stay the newest
            return False
        step = self.standing.step
        every = self.settings.checkpoint_every_steps
        if step == self.total_steps or (every != "auto" and step % every == 0):
            return True
        return every == "auto" and time.monotonic() - self._saved_at >= checkpoint_seconds(self._saving_seconds)

    def _still(self, doing: str) -> None:
        """Leave if somebody wants that; else let people know that this goes on."""
        self.control.check()
        self.reporter.doing(doing)


def checkpoint_seconds(saving_seconds: float) -> float:
    """Return how much training lies between two checkpoints, when the last one took `saving_seconds`."""
    return min(max(CHECKPOINT_SECONDS, saving_seconds / SAVING_SHARE), MOST_CHECKPOINT_SECONDS)
