"""Whether a run fits into memory, settled before its first step: planned from an estimate, tried where that leaves doubt, told in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from app.domain.figures import in_bytes
from workers.training.checkpointing import Checkpointing
from workers.training.memory import OutOfMemory, as_out_of_memory, forget_peak, held_bytes, memory_of, peak_bytes
from workers.training.memory_plan import Load, estimate
from workers.training.optim import set_rate
from workers.training.state import RandomState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.training.batches import Batch
    from workers.training.budget import Budget, Rows
    from workers.training.loop import StepLoop
    from workers.training.masks import MaskedRow
    from workers.training.memory import Memory
    from workers.training.memory_plan import Estimate

SHARE = {"cpu": 0.75, "cuda": 0.9}
"""Of the free memory, for a step: others may want some, and a CPU's that runs out ends the process rather than the step."""
CERTAIN = 0.5
"""A CPU whose memory holds a step twice need not try it, which would only delay the first one."""
NOT_TRIED = f"not tried: by the estimate it takes less than {CERTAIN:.0%} of what is free"
KEPT = ("step", "exp_avg", "exp_avg_sq", "state1", "state2", "absmax1", "absmax2", "max1", "max2")
"""What optimisers remember of the gradients, under the names of torch and bitsandbytes; all of it begins at zero."""


@dataclass(frozen=True)
class Fit:
    """What the heaviest step takes, and what was decided so that it fits."""

    memory: Memory
    """As it was before the first step."""
    predicted: int
    """Bytes this process will hold, by the estimate."""
    probed: int | None
    """Bytes it did hold; None where the step was not tried."""
    need: int
    decided: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Return what a person is told."""
        if self.probed is not None:
            return f"The longest step takes {in_bytes(self.probed)} of {in_bytes(self.memory.total)}."
        return f"The longest step takes about {in_bytes(self.need)} beside what is loaded; {in_bytes(self.memory.free)} is free."

    def leaves(self, room: int) -> bool:
        """Say whether nothing had to be given up, and so many bytes more would still be less than half of what is free."""
        return not self.decided["layers_twice"] and self.need + room < CERTAIN * self.memory.free

    def facts(self) -> dict[str, Any]:
        """Return it for the event that tells of the run's beginning."""
        return {
            "predicted_bytes": self.predicted,
            "probe_peak_bytes": self.probed,
            "probe": NOT_TRIED if self.probed is None else "tried",
            "memory_free_bytes": self.memory.free,
            "memory_bound": self.memory.place,
            **self.decided,
        }


def make_fit(loop: StepLoop) -> Fit:
    """Shrink what a run computes at once until its heaviest step fits, and try that step; nothing that is trained changes.

    OutOfMemory when it does not fit however little is computed at once.
    """
    model, budget, settings = loop.model, loop.budget, loop.settings
    layers = Checkpointing(model.loss.body, draws=settings.dropout > 0)
    if settings.gradient_checkpointing == "auto":
        budget.layers = layers
    else:
        layers.compute_twice(settings.gradient_checkpointing)
    rows = heaviest(loop.rows, settings.batch_size)
    measured = _estimated(loop, layers)
    memory, held = memory_of(model.device), held_bytes(model.device)
    before = budget.tokens, budget.rows, layers.count
    with budget.nothing_shared():
        load, need = budget.plan(rows, measured, int(SHARE[model.device.type] * memory.free), twice=layers.count)
        if (budget.tokens, budget.rows, layers.count) != before:
            _tell(budget, layers, load, memory)
        probed = None
        if model.device.type == "cuda" or need > CERTAIN * memory.free:
            probed = probe(loop, rows, measured, layers)
        tokens = max(batch.computed for batch in budget.lay_out(rows))
    decided = {"tokens_at_once": tokens, "layers_twice": layers.count, "layers": len(layers.layers)}
    return Fit(memory, held + need, probed, need, decided)


def heaviest(rows: Sequence[MaskedRow], many: int) -> Rows:
    """Return the longest rows that are trained, as many as a step has: where nothing is shared no step of the run takes more."""
    by_length = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
    found: list[tuple[int, MaskedRow]] = []
    for place in by_length:
        if len(found) == many:
            break
        if rows[place].trained[1:].any():
            found.append((place, rows[place]))
    return found


def probe(loop: StepLoop, rows: Rows, measured: Estimate, layers: Checkpointing) -> int:
    """Take the heaviest batch of these rows forward and back beside all that a step holds, leave no trace; return the peak in bytes.

    Where memory runs out the budget shrinks, as in any step.
    """
    device, generators = loop.model.device, RandomState.now()
    loop.reporter.doing("trying the longest step")

    def undo() -> None:
        loop.optimiser.zero_grad(set_to_none=True)
        loop.model.set_dropout(active=False)
        generators.restore()

    def there_and_back(batches: list[Batch]) -> None:
        loop.control.check()
        forget_peak(device)  # of an attempt that did not fit
        batch = max(batches, key=lambda batch: measured.need(Load.of(batch), layers.count))
        loop.model.set_dropout(active=True)
        for weight in loop.model.trainable():
            weight.grad = torch.zeros_like(weight)  # as a step's second batch finds it
        loop.model.loss.summed(batch).backward()

    try:
        loop.budget.fitting(rows, there_and_back, undo=undo)
    finally:
        undo()
    return peak_bytes(device)


def hold_state(optimiser: torch.optim.Optimizer, trained: Sequence[torch.nn.Parameter]) -> None:
    """Have the optimiser take the memory for what it remembers now, when no weight can be left half moved; OutOfMemory if there is none.

    It takes a step of no gradient at a rate of zero, and forgets it: a run that begins like this goes on as any other.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    set_rate(optimiser, 0.0)
    try:
        for weight in trained:
            weight.grad = torch.zeros_like(weight)
        optimiser.step()
    except (RuntimeError, MemoryError) as error:
        short = as_out_of_memory(error)
        if short is None:
            raise
        change = "Set settings.optimiser to paged_adamw_8bit or adamw_8bit, or lower settings.rank."
        raise OutOfMemory(f"{short.where} does not hold what the optimiser remembers of each weight. {change}", code=short.code) from error
    optimiser.zero_grad(set_to_none=True)
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
    for state in optimiser.state.values():
        state.update({name: _zero(state[name]) for name in KEPT if name in state})


def _zero(value: Any) -> Any:
    return value.zero_() if isinstance(value, torch.Tensor) else 0


def _estimated(loop: StepLoop, layers: Checkpointing) -> Estimate:
    generators, model = RandomState.now(), loop.model
    model.set_dropout(active=True)
    computed_twice = layers.count
    layers.compute_twice(0)
    found = estimate(model.loss, layers.layers, loop.budget.layout, model.trainable())
    layers.compute_twice(computed_twice)
    model.set_dropout(active=False)
    generators.restore()
    return found


def _tell(budget: Budget, layers: Checkpointing, load: Load, memory: Memory) -> None:
    """Say what was given up before the first step."""
    given = f"{load.tokens:,} tokens are computed at once"
    if layers.count:
        given += f", and {layers.count} of {len(layers.layers)} layers twice rather than keeping their results"
    budget.reporter.notice(
        f"Of {memory.place} {in_bytes(memory.free)} is free. So that a step fits, {given}; the result is the same.",
        tokens_at_once=load.tokens,
        layers_twice=layers.count,
        free_bytes=memory.free,
    )
