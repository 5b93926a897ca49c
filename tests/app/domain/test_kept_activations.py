"""What layers keep of a token by arithmetic is what the trainer counts when it looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.architectures import Architecture
from app.domain.kept_activations import is_fast, seen_bytes, seen_keys, token_bytes
from app.domain.specs import TrainingSettings
from tests.workers.training.engine_side import engine_model
from tests.workers.training.families import FAMILIES
from tests.workers.training.reference import RANK
from workers.training.checkpointing import Checkpointing
from workers.training.layouts import choose_layout
from workers.training.memory_plan import LENGTH, estimate

BY_NAME = {family.name: family for family in FAMILIES}
DENSE = ["llama", "qwen2", "qwen3", "gemma3", "phi3", "granite", "mistral", "ministral", "smollm3"]
WAYS: list[dict[str, Any]] = [{}, {"precision": "bf16"}, {"tuning": "full"}, {"tuning": "full", "precision": "bf16"}]


def told_and_counted(name: str, folder: Path, **settings: Any) -> tuple[float, float]:
    base = BY_NAME[name].write(folder)
    model = engine_model(base, **settings)
    model.set_dropout(active=True)
    layers = Checkpointing(model.loss.body, draws=False).layers
    found = estimate(model.loss, layers, choose_layout(model.loss).layout, model.trainable()).layers
    arch = Architecture.from_config(json.loads((base / "config.json").read_text(encoding="utf-8")))
    chosen = TrainingSettings.model_validate({"rank": RANK, **settings})
    number = 2 if chosen.precision == "bf16" else 4
    # What a token sees is told apart from it; of sixteen tokens so many.
    told = token_bytes(arch, chosen, number) + seen_bytes(arch, LENGTH, number, is_cpu=True)
    return told, sum(layer.token + layer.seen * LENGTH for layer in found) / len(found)


@pytest.mark.parametrize("settings", WAYS, ids=str)
@pytest.mark.parametrize("name", DENSE)
def test_dense_layers_keep_what_is_told(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    told, counted = told_and_counted(name, tmp_path, **settings)
    assert told == pytest.approx(counted, rel=0.03)


@pytest.mark.parametrize("name", ["gpt-oss", "qwen3-moe"])
def test_layers_of_experts_keep_about_what_is_told(name: str, tmp_path: Path) -> None:
    told, counted = told_and_counted(name, tmp_path)
    assert told == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_dropout_keeps_what_it_left_and_what_it_dropped(precision: str, tmp_path: Path) -> None:
    told, counted = told_and_counted("llama", tmp_path, dropout=0.1, precision=precision)
    assert told == pytest.approx(counted, rel=0.06)


def test_short_rows_are_one_block_and_long_ones_keep_half_of_their_square_at_most() -> None:
    assert seen_keys(100) == 100
    assert seen_keys(512) == 384  # two blocks: 256 queries see 256 keys, the others 512
    assert seen_keys(1024) < 600
    assert seen_keys(8192) < 2048 * 2048 / 8192 + 1  # beyond 2,048 keys nothing is kept


def test_a_gpu_keeps_no_probabilities(tmp_path: Path) -> None:
    arch = Architecture.from_config(json.loads((BY_NAME["llama"].write(tmp_path) / "config.json").read_text(encoding="utf-8")))
    assert seen_bytes(arch, 512, 2, is_cpu=False) == 0


def test_only_plain_adapters_take_the_fast_way() -> None:
    ways: list[dict[str, Any]] = [{}, {"tuning": "qlora"}, {"tuning": "full"}, {"adapter": "dora"}, {"dropout": 0.1}]
    assert [is_fast(TrainingSettings.model_validate(way)) for way in ways] == [True, True, False, False, False]
