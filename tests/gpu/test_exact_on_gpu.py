"""What a GPU's kernels make of a step: the textbook's loss and gradient in every layout, curve, precision and optimiser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.workers.training.conftest import Train
from tests.workers.training.engine_side import engine_model, engine_step, learner
from tests.workers.training.families import FAMILIES, written_once
from tests.workers.training.reference import (
    faults,
    gradient_difference,
    padded_loss,
    plain_model,
    reference_step,
    step_of,
    trained_losses,
)
from tests.workers.training.row_kinds import STEPS, fifty_steps
from tests.workers.training.test_exact import PADDED, allowed
from tests.workers.training.test_exact_controls import alike
from tests.workers.training.tiny import curve, last, make_model
from workers.training.batches import Layout
from workers.training.layouts import choose_layout

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]
DEVICE = "cuda"
NAMES = [family.name for family in FAMILIES]
MOST = 1e-5


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return written_once(tmp_path_factory.mktemp("families"))


@pytest.fixture(autouse=True)
def whole_products() -> None:
    """Compute float32 in float32: tensor cores would take 10 bits of each number."""
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("name", NAMES)
def test_a_step_on_a_gpu_is_the_textbook_s_in_every_layout(name: str, folders: Callable[[str], Path], shares_all: None) -> None:
    engine = engine_model(folders(name), device=DEVICE)
    textbook = plain_model(folders(name), learner(engine))
    chosen = choose_layout(engine.loss).layout
    assert chosen is (Layout.PADDED if name in PADDED else Layout.SHARED_PREFIX)
    for kind, rows in STEPS.items():
        expected = reference_step(textbook, rows)
        for layout in allowed(chosen):
            assert not faults(engine_step(engine, rows, layout), expected), (layout, kind)


@pytest.mark.parametrize("tuning", ["lora", "qlora"])
def test_a_step_in_bf16_on_a_gpu_goes_where_float32_goes(tuning: str, folders: Callable[[str], Path], shares_all: None) -> None:
    exact = engine_model(folders("llama"), device=DEVICE, tuning=tuning)
    rounded = engine_model(folders("llama"), device=DEVICE, precision="bf16", tuning=tuning)
    for model in (exact, rounded):
        choose_layout(model.loss)
    for kind in ("plain", "three_levels", "several_next"):
        expected = engine_step(exact, STEPS[kind], Layout.PADDED)
        for layout in Layout:
            loss, cosine = alike(engine_step(rounded, STEPS[kind], layout), expected)
            assert loss < 0.01, (layout, kind)
            assert cosine > 0.99, (layout, kind)  # four bits are made of weights that are rounded already


def test_a_four_bit_base_on_a_gpu_is_the_same_in_every_layout(folders: Callable[[str], Path], shares_all: None) -> None:
    engine = engine_model(folders("llama"), device=DEVICE, tuning="qlora")
    choose_layout(engine.loss)
    textbook = learner(engine)
    expected = {kind: step_of(textbook, lambda rows=rows: padded_loss(textbook, rows)) for kind, rows in STEPS.items()}  # type: ignore[misc]
    for kind, rows in STEPS.items():
        for layout in Layout:
            assert gradient_difference(engine_step(engine, rows, layout), expected[kind]) <= MOST, (layout, kind)


@pytest.mark.parametrize("layout", Layout)
def test_fifty_steps_on_a_gpu_have_the_textbook_s_losses(layout: Layout, folders: Callable[[str], Path], shares_all: None) -> None:
    engine = engine_model(folders("llama"), device=DEVICE)
    textbook = plain_model(folders("llama"), learner(engine))
    choose_layout(engine.loss)
    steps = fifty_steps()
    ours = trained_losses(learner(engine), steps, lambda rows: engine_step(engine, rows, layout))
    assert ours == pytest.approx(trained_losses(textbook, steps, lambda rows: reference_step(textbook, rows)), rel=1e-4)


def test_a_run_learns_the_same_with_every_optimiser(train_here: Train, tmp_path: Path) -> None:
    wide = make_model(tmp_path / "wide", hidden=512, spread=0.05)
    losses = {}
    for optimiser in ("adamw", "adamw_8bit", "paged_adamw_8bit"):
        settings = {"tuning": "qlora", "rank": 128, "max_steps": 12, "device": "gpu", "precision": "auto", "optimiser": optimiser}
        code, events = train_here(base=wide, out=optimiser, eval_every_steps=12, learning_rate=1e-3, **settings)
        assert code == 0, last(events).reason
        losses[optimiser] = curve(events)
    assert losses["adamw"][12] < 0.9 * losses["adamw"][1]
    for eight_bits in ("adamw_8bit", "paged_adamw_8bit"):
        assert losses[eight_bits][12] == pytest.approx(losses["adamw"][12], rel=0.05)
