"""A run that has lost its way stops, and what was good stays."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from app.domain.events import Checkpoint
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, notices
from workers.training import loop
from workers.training.batches import Batch
from workers.training.control import Leave, Wish
from workers.training.divergence import Diverged, check_numbers


def test_a_loss_that_is_no_number_fails_and_keeps_the_last_checkpoint(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_loss = loop.StepLoop._gradient

    def explode(self: loop.StepLoop, batches: list[object]) -> tuple[float, float]:
        found = true_loss(self, batches)  # type: ignore[arg-type]
        return (math.nan, found[1]) if self.standing.step == 4 else found

    monkeypatch.setattr(loop.StepLoop, "_gradient", explode)
    code, events = train_here(checkpoint_every_steps=2)
    assert (code, last(events).code) == (1, "diverged")
    assert "Step 5" in last(events).reason
    assert (tmp_path / "out" / "checkpoints" / "4-t0" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("loss", "gradient_norm", "named"), [(2.0, math.inf, "gradient"), (math.nan, 1.0, "loss"), (math.inf, math.nan, "loss")]
)
def test_what_is_no_number_is_named(loss: float, gradient_norm: float, named: str) -> None:
    with pytest.raises(Diverged, match=f"Step 3: the {named} is no number any more"):
        check_numbers(3, loss, gradient_norm, [1])


def test_a_loss_that_explodes_stops_the_run_and_the_last_good_checkpoint_stays_the_newest(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_loss = loop.StepLoop._gradient

    def explode(self: loop.StepLoop, batches: list[Batch]) -> tuple[float, float]:
        loss, norm = true_loss(self, batches)
        step = self.standing.step + 1
        return (1000.0 if step == 7 or step > 11 else loss), norm  # one bad batch alone is no divergence

    monkeypatch.setattr(loop.StepLoop, "_gradient", explode)
    code, events = train_here(max_steps=30, eval_every_steps=30, checkpoint_every_steps=1)
    assert (code, last(events).code) == (1, "diverged")
    assert "Since step 12" in last(events).reason
    assert max(event.step for event in events if isinstance(event, Checkpoint)) == 11
    _, both = train_here(max_steps=30, eval_every_steps=30, checkpoint_every_steps=1)
    assert sorted(curve(both[len(events) :])) == [12, 13, 14, 15, 16]


@pytest.mark.parametrize(("wish", "is_made"), [("stop", True), ("pause", False)])
@pytest.mark.parametrize(("saved_every", "bad_steps", "kept"), [(6, 0, 10), (6, 1, 10), (6, 2, 6), (20, 2, 10)])
def test_who_stops_a_run_that_goes_astray_keeps_what_was_good(
    wish: Wish, *, is_made: bool, saved_every: int, bad_steps: int, kept: int, train_here: Train, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One bad batch is no divergence, and where nothing was saved before there is nothing better."""
    true_loss = loop.StepLoop._gradient

    def explode(self: loop.StepLoop, batches: list[Batch]) -> tuple[float, float]:
        done = self.standing.step
        if done == 10:
            raise Leave(wish)
        loss, norm = true_loss(self, batches)
        return (1000.0 if done >= 10 - bad_steps else loss), norm

    monkeypatch.setattr(loop.StepLoop, "_gradient", explode)
    _, events = train_here(max_steps=30, eval_every_steps=30, checkpoint_every_steps=saved_every)
    assert last(events).status == "interrupted"
    assert max(event.step for event in events if isinstance(event, Checkpoint)) == kept
    assert ("lost its way, so what step 6 came to is kept" in notices(events)) is (kept == 6)
    # A supervisor packs the newest checkpoint where there is no adapter.
    assert (tmp_path / "out" / "adapter").exists() is (is_made and kept == 10)
