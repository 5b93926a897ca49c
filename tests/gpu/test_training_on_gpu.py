"""What only a GPU can show: training in bf16 and in four bits there, going on from a checkpoint, and a chat with what came out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from app.domain.events import Started
from tests.workers.inference.conftest import running
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, make_model

pytestmark = pytest.mark.gpu
DEVICE, DEVICE_NAMES = "gpu", ("cuda", "cuda:0")
# Wide enough for bitsandbytes to keep the optimiser's state in 8 bits, and some of it in pages.
WIDE: dict[str, Any] = {"rank": 128, "max_steps": 12, "checkpoint_every_steps": 4, "eval_every_steps": 12, "learning_rate": 1e-3}


@pytest.mark.parametrize("tuning", ["lora", "qlora"])
def test_a_run_on_a_gpu_learns_and_goes_on_from_its_checkpoint(tuning: str, train_here: Train, tmp_path: Path) -> None:
    wide = make_model(tmp_path / "wide", hidden=512, spread=0.05)
    settings = {**WIDE, "tuning": tuning, "device": DEVICE, "precision": "auto", "base": wide}
    code, whole = train_here(out="whole", **settings)
    assert code == 0, last(whole).reason
    started = next(event for event in whole if isinstance(event, Started))
    assert (started.data["device"], started.data["precision"]) == (DEVICE_NAMES[0], "bf16")
    losses = curve(whole)
    assert losses[12] < 0.9 * losses[1]
    shutil.copytree(tmp_path / "whole" / "checkpoints" / "8-t0", tmp_path / "again" / "checkpoints" / "8-t0")
    code, again = train_here(out="again", **settings)
    assert code == 0, last(again).reason
    assert curve(again) == pytest.approx({step: loss for step, loss in losses.items() if step > 8}, rel=1e-3)
    assert curve(again, "eval/loss")[12] == pytest.approx(curve(whole, "eval/loss")[12], rel=1e-3)


def test_a_tuned_base_says_on_a_gpu_what_it_has_learned(train_here: Train, base: Path, tmp_path: Path) -> None:
    code, events = train_here(device=DEVICE, precision="auto", max_steps=100, eval_every_steps=100, learning_rate=0.01)
    assert code == 0, last(events).reason
    asked: Any = [{"role": "user", "content": "0: which colour is the sky?"}]
    with running() as server:
        place = {"hone": {"base_dir": str(base), "adapter_dir": str(tmp_path / "out" / "adapter")}}
        answer = server.client.chat.completions.create(model="tiny", messages=asked, temperature=0, max_tokens=12, extra_body=place)
        assert answer.choices[0].message.content == "blue"
        assert str(server.status()["device"]) in DEVICE_NAMES
