"""Which number format a run computes in: the processor, the model's size and free memory decide, and the reason is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.domain.specs import TrainingSettings
from workers.training import precision
from workers.training.base_model import BaseModel
from workers.training.memory import Memory
from workers.training.precision import Precision, bf16_gain, choose_precision, float32_bytes

CPU = torch.device("cpu")


@pytest.fixture
def base(tmp_path: Path) -> BaseModel:
    """A base of a thousand weights in bf16, as wide as the bundled one."""
    (tmp_path / "model.safetensors").write_bytes(bytes(2000))
    return BaseModel(tmp_path, "base", {"hidden_size": 256, "dtype": "bfloat16"})


def choose(base: BaseModel, *, earlier: str | None = None, **settings: object) -> Precision:
    return choose_precision(TrainingSettings.model_validate(settings), CPU, earlier=earlier, base=base)


def test_what_the_run_began_with_goes_before_what_the_spec_says(base: BaseModel) -> None:
    assert choose(base, earlier="fp32", precision="bf16").name == "fp32"
    assert choose(base, precision="bf16").name == "bf16"


@pytest.mark.parametrize(("gain", "chosen"), [(2.1, "bf16"), (1.1, "fp32")])
def test_the_processor_decides_and_is_named_with_its_gain(
    gain: float, chosen: str, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bf16_gain", lambda _width: gain)
    assert choose(base).name == chosen
    assert f"{gain} times" in choose(base).reason


def test_a_narrow_model_is_not_even_measured(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_gain", lambda _width: pytest.fail("it was measured"))
    base.config["hidden_size"] = 64
    assert choose(base) == Precision("fp32", "a model as small as this gains nothing by bf16")


def test_weights_that_memory_does_not_hold_in_float32_are_taken_in_bf16(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_gain", lambda _width: 1.0)
    assert float32_bytes(base) == 4000
    monkeypatch.setattr(precision, "memory_of", lambda _device: Memory(5000, 9000, "this machine's memory"))
    assert choose(base).name == "bf16"
    assert choose(base, tuning="qlora").name == "fp32"  # its weights are held in 4 bits either way


def test_a_machine_is_measured_once() -> None:
    assert bf16_gain(64) == bf16_gain(64)
    assert bf16_gain.cache_info().hits >= 1
