"""What a step will take is known before it takes it, near enough to plan by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.workers.training.engine_side import engine_model
from tests.workers.training.families import FAMILIES
from tests.workers.training.row_kinds import row, some
from tests.workers.training.short_memory import bytes_kept
from workers.training.batches import lay_out
from workers.training.checkpointing import Checkpointing
from workers.training.layouts import choose_layout
from workers.training.memory_plan import LENGTH, Estimate, Kept, Load, estimate
from workers.training.model import LoadedModel

BY_NAME = {family.name: family for family in FAMILIES}
ROWS = [(number, row((some(length), False), (some(9), True))) for number, length in enumerate((70, 31, 90, 55))]
LOAD = Load(tokens=1000, longest=100, targets=300)
PLAIN = Estimate(layers=(Kept(token=100.0),) * 4, width=4, logits=(256, 10), fixed=0)


def estimated(name: str, folder: Path, **settings: object) -> tuple[LoadedModel, Estimate, float]:
    """Return a model of a family, its estimate, and what it says of ROWS without what an allocator adds."""
    model = engine_model(BY_NAME[name].write(folder / name), **settings)  # type: ignore[arg-type]
    layout = choose_layout(model.loss).layout
    found = estimate(model.loss, Checkpointing(model.loss.body, draws=False).layers, layout, model.trainable())
    (batch,) = lay_out(ROWS, layout, token_budget=1000)
    load = Load.of(batch)
    expected = sum(layer.of(load) for layer in found.layers) + 2 * found.width * load.tokens
    return model, found, expected / bytes_kept(model.loss, batch)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "gpt-oss", "qwen3-next", "granite-hybrid"])
def test_what_layers_keep_is_estimated_from_a_few_tokens(name: str, tmp_path: Path) -> None:
    model, _, share = estimated(name, tmp_path)
    assert 0.9 < share < 2.0  # all tokens may see as far as the longest row's last: an upper bound
    assert all(weight.grad is None for weight in model.trainable())


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"tuning": "qlora"}, {"tuning": "full"}, {"dropout": 0.1}])
def test_it_is_estimated_for_each_way_to_train(settings: dict[str, object], tmp_path: Path) -> None:
    _, _, share = estimated("llama", tmp_path, **settings)
    assert 0.9 < share < 1.6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_gradient_of_a_head_that_is_trained_is_counted(tmp_path: Path, precision: str) -> None:
    model, found, _ = estimated("llama", tmp_path, tuning="full", precision=precision)
    gradients = sum(4 * weight.numel() for weight in model.trainable())
    assert found.fixed == gradients + 12 * model.loss.head.weight.numel()
    model, found, _ = estimated("llama", tmp_path / "adapter", precision=precision)
    assert found.fixed == sum(4 * weight.numel() for weight in model.trainable())


def test_bf16_keeps_about_half(tmp_path: Path) -> None:
    _, in_float32, _ = estimated("llama", tmp_path)
    _, in_bf16, _ = estimated("llama", tmp_path / "again", precision="bf16")
    assert in_bf16.layers[0].token < 0.6 * in_float32.layers[0].token


def test_what_is_kept_grows_with_the_tokens_and_with_what_each_may_see() -> None:
    samples = (LENGTH, LENGTH), (2 * LENGTH, LENGTH), (2 * LENGTH, 2 * LENGTH)
    kept = Kept.through(*(7.0 + 3 * tokens + 2 * tokens * longest for tokens, longest in samples))
    assert (kept.fixed, kept.token, kept.seen) == pytest.approx((7, 3, 2))


def test_as_few_layers_as_possible_are_computed_twice() -> None:
    needs = [PLAIN.need(LOAD, count) for count in range(5)]
    assert needs == sorted(needs, reverse=True)
    assert [PLAIN.least(LOAD, need) for need in needs] == [0, 1, 2, 3, 4]
    assert PLAIN.least(LOAD, 1) == 4
    assert replace(PLAIN, device="cuda").need(LOAD, 0) < needs[0]
