"""How much is computed at once, and less of it when memory runs out: a step is its rows, so smaller pieces change no result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from workers.training.batches import TOKENS_AT_ONCE, Layout, lay_out
from workers.training.memory import as_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.specs import TrainingSettings
    from workers.training.batches import Batch
    from workers.training.masks import MaskedRow
    from workers.training.report import Reporter

Result = TypeVar("Result")


@dataclass
class Budget:
    """The rows or the padded tokens computed at once."""

    rows: int | None
    """As the settings say; None when tokens decide."""
    tokens: int
    reporter: Reporter
    layout: Layout

    @classmethod
    def of(cls, settings: TrainingSettings, device: torch.device, reporter: Reporter, layout: Layout) -> Budget:
        """Return the budget a run begins with."""
        rows = None if settings.micro_batch_size == "auto" else settings.micro_batch_size
        return cls(rows, TOKENS_AT_ONCE[device.type], reporter, layout)

    def fitting(
        self, rows: Sequence[tuple[int, MaskedRow]], compute: Callable[[list[Batch]], Result], *, undo: Callable[[], None]
    ) -> Result:
        """Return what `compute` makes of the rows; where memory runs out, `undo` and once more in smaller batches."""
        while True:
            batches = lay_out(rows, self.layout, token_budget=self.tokens, size=self.rows)
            try:
                return compute(batches)
            except (RuntimeError, MemoryError) as error:
                most = max((len(batch.rows) for batch in batches), default=0)
                if not self.narrow(error, rows=most, tokens=max((batch.computed for batch in batches), default=0)):
                    raise
            undo()
            torch.cuda.empty_cache()

    def narrow(self, error: BaseException, *, rows: int, tokens: int) -> bool:
        """Halve the budget after `rows` rows with `tokens` padded tokens were too much; False when something else was the fault.

        OutOfMemory when not even a single row fits.
        """
        short = as_out_of_memory(error)
        if short is None:
            return False
        if rows <= 1:
            short.data = {"rows_at_once": rows, "tokens_at_once": tokens}
            raise short from error
        self.tokens = min(self.tokens, tokens) // 2
        if self.rows is not None:
            self.rows = max(1, min(self.rows, rows) // 2)
        self.reporter.notice(
            f"Memory does not hold {rows} rows or {tokens} tokens at once. It goes on with half as many; the result is the same.",
            rows_at_once=rows,
            tokens_at_once=tokens,
        )
        return True
