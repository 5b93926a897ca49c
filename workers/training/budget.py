"""How much is computed at once, and less of it when memory runs out: a step is its rows, so smaller pieces change no result.

What is given up first costs least: larger packs, as long as they fill the processor; then keeping all layers' results for the gradient
(workers/training/checkpointing.py); then the rest of the packs.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch

from app.domain.specs import TrainingSettings
from workers.training.batches import EVEN, FROM, TOKENS_AT_ONCE, Layout, in_parts, lay_out
from workers.training.memory import as_out_of_memory, too_long
from workers.training.memory_plan import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from workers.training.batches import Batch
    from workers.training.checkpointing import Checkpointing
    from workers.training.masks import MaskedRow
    from workers.training.memory_plan import Estimate
    from workers.training.report import Reporter

    Rows = Sequence[tuple[int, MaskedRow]]

Result = TypeVar("Result")
LEAST_TOKENS = 1_024
"""Smaller packs cost more than computing layers twice."""


@dataclass
class Budget:
    """The rows or the computed tokens at once, and how many layers are computed twice."""

    rows: int | None
    """As the settings say; None when tokens decide."""
    tokens: int
    reporter: Reporter
    layout: Layout = Layout.PADDED
    layers: Checkpointing | None = None
    """None where nothing is trained, or where the settings say how many layers are computed twice."""
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    """For the words when nothing fits."""
    processes: int = 1
    """Each computes a part of a step, at the same time: so each has its part of what may be computed at once."""

    @classmethod
    def of(cls, settings: TrainingSettings, device: torch.device, reporter: Reporter, layout: Layout) -> Budget:
        """Return the budget a run begins with."""
        rows = None if settings.micro_batch_size == "auto" else settings.micro_batch_size
        return cls(rows, TOKENS_AT_ONCE[device.type], reporter, layout, settings=settings)

    def lay_out(self, rows: Rows) -> list[Batch]:
        """Return rows in batches within the budget."""
        return lay_out(rows, self.layout, token_budget=self.tokens, size=self.rows)

    def lay_out_step(self, rows: Rows) -> list[Batch]:
        """Return the rows of a step in batches that all processes together have room for, and of which each gets about as much."""
        size = self.rows and max(1, self.rows // self.processes)
        tokens = _even(self.tokens // self.processes)
        parts = in_parts(rows, self.processes, lambda row: len(row[1].ids))
        return [batch for part in parts for batch in lay_out(part, self.layout, token_budget=tokens, size=size)]

    @contextmanager
    def nothing_shared(self) -> Iterator[None]:
        """Lay rows out in a with block as if no two began alike: what other rows share, the heaviest step of a run may not."""
        own = self.layout
        if own is Layout.SHARED_PREFIX:
            self.layout = Layout.PACKED
        try:
            yield
        finally:
            self.layout = own

    def plan(self, rows: Rows, estimate: Estimate, room: int, *, twice: int = 0) -> tuple[Load, int]:
        """Shrink the budget until these rows take no more than `room` bytes, or nothing is left to give up; return the heaviest batch.

        With it comes what it takes. `twice` layers are computed twice already.
        """
        while True:
            batches = self.lay_out(rows)
            count = self.layers.count if self.layers else twice
            load = max(map(Load.of, batches), key=lambda load: estimate.need(load, count))
            need = estimate.need(load, count)
            if need <= room or not self._give_up(_most_rows(batches), load.tokens, estimate.least(load, room)):
                return load, need

    def fitting(self, rows: Rows, compute: Callable[[list[Batch]], Result], *, undo: Callable[[], None], learns: bool = True) -> Result:
        """Return what `compute` makes of the rows; where memory runs out, `undo` and once more with less at once.

        `learns` says that results are kept for a gradient.
        """
        while True:
            batches = self.lay_out_step(rows) if learns else self.lay_out(rows)
            try:
                return compute(batches)
            except (RuntimeError, MemoryError) as error:
                tokens = max((batch.computed for batch in batches), default=0)
                if not self.narrow(error, rows=_most_rows(batches), tokens=tokens, learns=learns):
                    raise
            undo()
            torch.cuda.empty_cache()

    def narrow(self, error: BaseException, *, rows: int, tokens: int, learns: bool = False) -> bool:
        """Give something up after `rows` rows with `tokens` tokens were too much; False when something else was the fault.

        OutOfMemory when nothing is left to give up.
        """
        short = as_out_of_memory(error)
        if short is None:
            return False
        layers = self.layers.count if self.layers else 0
        most = len(self.layers.layers) if self.layers and learns else 0
        if not self._give_up(rows, tokens, min(most, (most + layers + 1) // 2)):
            failure = too_long(short, tokens, self.settings)
            failure.data = {"rows_at_once": rows, "tokens_at_once": tokens, "layers_twice": layers}
            raise failure from error
        instead = "half as many"
        if self.layers and self.layers.count > layers:
            instead = f"as many, and computes {self.layers.count} of {len(self.layers.layers)} layers twice rather than keep their results"
        self.reporter.notice(
            f"Memory does not hold {rows} rows or {tokens} tokens at once. It goes on with {instead}; the result is the same.",
            rows_at_once=rows,
            tokens_at_once=tokens,
            layers_twice=self.layers.count if self.layers else layers,
        )
        return True

    def _give_up(self, rows: int, tokens: int, layers: int) -> bool:
        """Give up what costs least, when so many rows and tokens were too much: halve them, or compute `layers` layers twice."""
        if rows > 1 and min(self.tokens, tokens) > LEAST_TOKENS:  # one long row alone may have more than the budget
            self._halve(rows, tokens)
        elif self.layers and layers > self.layers.count:
            self.layers.compute_twice(layers)
        elif rows > 1:
            self._halve(rows, tokens)
        else:
            return False
        return True

    def _halve(self, rows: int, tokens: int) -> None:
        self.tokens = _even(min(self.tokens, tokens) // 2)
        if self.rows is not None:
            self.rows = max(1, min(self.rows, rows) // 2)


def _even(tokens: int) -> int:
    """Return a budget that splits no pack which is beyond it only because it was filled up."""
    return tokens if tokens < FROM else tokens - tokens % EVEN


def _most_rows(batches: Sequence[Batch]) -> int:
    return max((len(batch.rows) for batch in batches), default=0)
