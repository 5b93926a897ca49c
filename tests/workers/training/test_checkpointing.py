"""Layers that are computed twice change what is kept, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.workers.training.engine_side import engine_model, engine_step
from tests.workers.training.families import FAMILIES
from tests.workers.training.reference import gradient_difference
from tests.workers.training.row_kinds import STEPS
from tests.workers.training.short_memory import bytes_kept
from workers.training.batches import lay_out
from workers.training.checkpointing import Checkpointing
from workers.training.layouts import choose_layout
from workers.training.model import LoadedModel

ROWS = STEPS["three_levels"]
BY_NAME = {family.name: family for family in FAMILIES}


def loaded(name: str, folder: Path, **settings: object) -> LoadedModel:
    return engine_model(BY_NAME[name].write(folder / name), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "gpt-oss", "qwen3-next", "granite-hybrid"])
def test_the_gradient_is_the_same_however_many_layers_are_computed_twice(name: str, tmp_path: Path) -> None:
    model = loaded(name, tmp_path)
    layout = choose_layout(model.loss).layout
    layers = Checkpointing(model.loss.body, draws=False)
    assert len(layers.layers) == 2
    once = engine_step(model, ROWS, layout)
    for count in (1, 2):
        layers.compute_twice(count)
        twice = engine_step(model, ROWS, layout)
        assert twice.loss == pytest.approx(once.loss, rel=1e-6)
        assert gradient_difference(twice, once) <= 1e-6


@pytest.mark.parametrize("draws", [True, False])
def test_what_dropout_drops_it_drops_again(*, draws: bool, tmp_path: Path) -> None:
    model = loaded("llama", tmp_path, dropout=0.3)
    layout = choose_layout(model.loss).layout
    layers = Checkpointing(model.loss.body, draws=draws)
    model.set_dropout(active=True)
    torch.manual_seed(5)
    once = engine_step(model, ROWS, layout)
    layers.compute_twice(2)
    torch.manual_seed(5)
    difference = gradient_difference(engine_step(model, ROWS, layout), once)
    assert difference <= 1e-6 if draws else difference > 1e-2  # a state of the generator that is not put back does not pass


def test_each_layer_that_is_computed_twice_keeps_less(tmp_path: Path) -> None:
    model = loaded("llama", tmp_path)
    (batch,) = lay_out(ROWS, choose_layout(model.loss).layout, token_budget=1000)
    layers = Checkpointing(model.loss.body, draws=False)
    kept = []
    for count in (0, 1, 2, 0):
        layers.compute_twice(count)
        kept.append(bytes_kept(model.loss, batch))
    assert kept[0] > kept[1] > kept[2]
    assert kept[2] < 0.3 * kept[0]
    assert kept[3] == kept[0]


def test_nothing_is_computed_twice_where_no_gradient_is_wanted(tmp_path: Path) -> None:
    model = loaded("llama", tmp_path)
    (batch,) = lay_out(ROWS, choose_layout(model.loss).layout, token_budget=1000)
    Checkpointing(model.loss.body, draws=False).compute_twice(2)
    seen = []
    mlp = model.loss.body.get_submodule("layers.0.mlp")
    mlp.register_forward_pre_hook(lambda *_: seen.append(1))
    model.loss.score(batch)
    assert len(seen) == 1
    model.loss.summed(batch).backward()
    assert len(seen) == 3
