"""What the comparison with the textbook's step must notice, and what else a layout must leave alone: the curve, and every precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import BitsAndBytesConfig

from tests.workers.training.engine_side import engine_model, engine_step, learner, step_of_batches
from tests.workers.training.families import Family, written_once
from tests.workers.training.reference import Step, faults, gradient_difference, plain_base, plain_model, reference_step, trained_losses
from tests.workers.training.row_kinds import STEPS, fifty_steps
from workers.training.batches import Batch, Layout, lay_out
from workers.training.forest import Segment
from workers.training.layouts import choose_layout
from workers.training.model import LoadedModel
from workers.training.plan import AttentionPlan

LLAMA = Family("llama", "LlamaConfig", {"tie_word_embeddings": True, "intermediate_size": 128})
"""As wide as a block of four-bit weights, so that bitsandbytes itself computes it rightly on a CPU."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return LLAMA.write(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return written_once(tmp_path_factory.mktemp("families"))


@dataclass(frozen=True)
class Pair:
    engine: LoadedModel
    plain: PeftModel


def pair(folder: Path, *, dtype: torch.dtype = torch.float32, base: dict[str, Any] | None = None, **settings: Any) -> Pair:
    engine = engine_model(folder, precision="fp32" if dtype == torch.float32 else "bf16", **settings)
    adapter = {"use_dora": settings.get("adapter") == "dora", "use_rslora": settings.get("rslora", False)}
    plain = plain_model(folder, learner(engine), dtype=dtype, base=base, **adapter)
    choose_layout(engine.loss)
    return Pair(engine, plain)


@pytest.fixture(scope="module")
def llama(folder: Path) -> Pair:
    return pair(folder)


def seeing_each_other(batch: Batch) -> Batch:
    """Every token sees all that stand before it, in other branches too."""
    whole = Segment(0, batch.ids.numel(), 0, 0, -1, reach=batch.ids.numel())
    return replace(batch, plan=AttentionPlan.of([whole]))


def starting_anew(batch: Batch) -> Batch:
    """Each branch counts its positions from its own beginning."""
    assert batch.plan is not None
    starts = torch.cat([torch.full((segment.end - segment.start,), segment.position) for segment in batch.plan.segments])
    assert batch.positions is not None
    return replace(batch, positions=batch.positions - starts[None])


def counted_once(batch: Batch) -> Batch:
    """A position predicts one token, whoever goes on from it."""
    _, first = np.unique(batch.places.numpy(), return_index=True)
    kept = torch.from_numpy(np.sort(first))
    return replace(batch, places=batch.places[kept], targets=batch.targets[kept])


@pytest.mark.parametrize("spoilt", [seeing_each_other, starting_anew, counted_once])
def test_a_layout_that_is_wrong_does_not_pass(spoilt: Callable[[Batch], Batch], llama: Pair, shares_all: None) -> None:
    rows = STEPS["several_next"]
    expected = reference_step(llama.plain, rows)
    (batch,) = lay_out(rows, Layout.SHARED_PREFIX, token_budget=10_000)
    assert not faults(step_of_batches(llama.engine, [batch]), expected)
    found = step_of_batches(llama.engine, [spoilt(batch)])
    assert faults(found, expected)
    assert gradient_difference(found, expected) > 1e-2


def test_a_gradient_of_another_model_does_not_pass(llama: Pair) -> None:
    rows = STEPS["plain"]
    expected = reference_step(llama.plain, rows)
    found = engine_step(llama.engine, rows, Layout.PACKED)
    name = next(iter(found.gradients))
    assert faults(Step(found.loss, found.gradients | {name: found.gradients[name] * 1.01}), expected)
    assert faults(Step(found.loss * 1.0001, found.gradients), expected)


@pytest.mark.parametrize("layout", Layout)
def test_fifty_steps_have_the_textbook_s_losses(layout: Layout, folder: Path, shares_all: None) -> None:
    both = pair(folder)
    steps = fifty_steps()
    ours = trained_losses(learner(both.engine), steps, lambda rows: engine_step(both.engine, rows, layout))
    theirs = trained_losses(both.plain, steps, lambda rows: reference_step(both.plain, rows))
    assert np.mean(theirs[-5:]) < 0.8 * np.mean(theirs[:5])
    assert ours == pytest.approx(theirs, rel=1e-4)


def quantised(dtype: torch.dtype) -> dict[str, Any]:
    wanted = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": wanted, "device_map": {"": "cpu"}}


def alike(found: Step, expected: Step) -> tuple[float, float]:
    """Return how far two losses are apart, and the cosine between two gradients."""
    cosine = torch.nn.functional.cosine_similarity(found.whole(), expected.whole(), dim=0)
    return abs(found.loss / expected.loss - 1), float(cosine)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("tuning", ["lora", "qlora"])
def test_in_bf16_a_step_is_the_textbook_s_but_for_rounding(tuning: str, layout: Layout, folder: Path, shares_all: None) -> None:
    base = quantised(torch.bfloat16) if tuning == "qlora" else None
    both = pair(folder, dtype=torch.bfloat16, base=base, tuning=tuning)
    for kind in ("plain", "three_levels", "several_next"):
        loss, cosine = alike(engine_step(both.engine, STEPS[kind], layout), reference_step(both.plain, STEPS[kind]))
        assert loss < 0.01, kind
        assert cosine > 0.999, kind


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "phi", "granite", "gpt-oss", "qwen3-moe", "gpt2"])
def test_in_bf16_every_family_has_the_textbook_s_step_but_for_rounding(
    name: str, families: Callable[[str], Path], shares_all: None
) -> None:
    """Not on all rows: where two experts are as good but for a hair, rounding chooses between them, in any layout."""
    both = pair(families(name), dtype=torch.bfloat16)
    for layout in Layout:
        loss, cosine = alike(engine_step(both.engine, STEPS["several_next"], layout), reference_step(both.plain, STEPS["several_next"]))
        assert loss < 0.01, layout
        assert cosine > 0.999, layout


@pytest.mark.parametrize("layout", Layout)
def test_full_tuning_in_bf16_gathers_the_textbook_s_gradient_in_its_masters(layout: Layout, folder: Path, shares_all: None) -> None:
    engine = engine_model(folder, tuning="full", precision="bf16")
    choose_layout(engine.loss)
    expected = reference_step(plain_base(folder, dtype=torch.bfloat16), STEPS["three_levels"])
    assert engine.masters
    engine_step(engine, STEPS["three_levels"], layout)
    gathered = torch.cat([master.grad.flatten() for master in engine.masters.weights if master.grad is not None]).double()
    wanted = torch.cat([gradient.flatten() for gradient in expected.gradients.values()]).double()
    assert torch.nn.functional.cosine_similarity(gathered, wanted, dim=0) > 0.999
    assert float(gathered.norm()) == pytest.approx(float(wanted.norm()), rel=0.01)


@pytest.mark.parametrize("layout", Layout)
def test_a_step_over_a_four_bit_base_is_the_textbook_s(layout: Layout, folder: Path, shares_all: None) -> None:
    both = pair(folder, base=quantised(torch.float32), tuning="qlora")
    for kind in ("plain", "three_levels", "trained_inside"):
        assert not faults(engine_step(both.engine, STEPS[kind], layout), reference_step(both.plain, STEPS[kind])), kind


@pytest.mark.parametrize("settings", [{"adapter": "dora"}, {"rslora": True}])
def test_other_kinds_of_adapters_have_the_textbook_s_step(settings: dict[str, Any], folder: Path, shares_all: None) -> None:
    both = pair(folder, **settings)
    for layout in Layout:
        assert not faults(engine_step(both.engine, STEPS["three_levels"], layout), reference_step(both.plain, STEPS["three_levels"])), (
            layout
        )


@pytest.mark.parametrize("adapter", ["lora", "dora"])
def test_dropout_is_drawn_anew_for_each_layout_but_the_same_for_a_seed(adapter: str, folder: Path, shares_all: None) -> None:
    """What is dropped hangs on where a token stands, so with dropout layouts agree on average alone."""
    engine = engine_model(folder, dropout=0.3, adapter=adapter)
    choose_layout(engine.loss)

    def loss(layout: Layout, seed: int) -> float:
        torch.manual_seed(seed)
        engine.set_dropout(active=True)
        found = engine_step(engine, STEPS["three_levels"], layout).loss
        engine.set_dropout(active=False)
        return found

    whole = engine_step(engine, STEPS["three_levels"], Layout.SHARED_PREFIX).loss
    assert loss(Layout.SHARED_PREFIX, 1) == loss(Layout.SHARED_PREFIX, 1)
    assert abs(loss(Layout.SHARED_PREFIX, 1) - whole) > 1e-3
    several = {layout: np.mean([loss(layout, seed) for seed in range(12)]) for layout in Layout}
    assert several[Layout.SHARED_PREFIX] == pytest.approx(several[Layout.PADDED], rel=0.02)
