"""The kinds of adapter and of optimiser: each learns, goes on exactly where it stood, and leaves what plain peft loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from app.domain.events import Started
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, make_model
from workers.inference.models import LoadedBase, key_of
from workers.training.adapter import WEIGHTS

KINDS: dict[str, dict[str, Any]] = {
    "DoRA": {"adapter": "dora"},
    "QDoRA": {"tuning": "qlora", "adapter": "dora"},
    "rsLoRA and LoRA+": {"rslora": True, "lora_plus": 4.0, "dropout": 0.1},
    "AdamW in 8 bits": {"optimiser": "adamw_8bit", "rank": 64},
}


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_it_learns_and_goes_on_exactly_where_it_stood(train_here: Train, tmp_path: Path, settings: dict[str, Any]) -> None:
    code, events = train_here(max_steps=6, checkpoint_every_steps=3, learning_rate=0.01, **settings)
    assert code == 0, last(events).reason
    losses = curve(events)
    assert losses[6] < losses[1]
    out = tmp_path / "out"
    whole = (out / "adapter" / WEIGHTS).read_bytes()
    shutil.rmtree(out / "checkpoints" / "6-t0")
    shutil.rmtree(out / "adapter")
    _, both = train_here(max_steps=6, checkpoint_every_steps=3, learning_rate=0.01, **settings)
    assert next(event for event in both[len(events) :] if isinstance(event, Started)).step == 3
    assert (out / "adapter" / WEIGHTS).read_bytes() == whole


def test_a_dora_adapter_with_rslora_loads_with_plain_peft(train_here: Train, base: Path, tmp_path: Path) -> None:
    train_here(max_steps=2, adapter="dora", rslora=True)
    folder = tmp_path / "out" / "adapter"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"]) == (True, True)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    assert any("lora_magnitude_vector" in name for name, _ in tuned.named_parameters())
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert not torch.equal(AutoModelForCausalLM.from_pretrained(base)(ids).logits, tuned(ids).logits)


def test_dora_in_four_bits_is_refused_where_the_cpu_would_misread_the_rows(train_here: Train, tmp_path: Path) -> None:
    ragged = make_model(tmp_path / "ragged", hidden=80)
    code, events = train_here(base=ragged, tuning="qlora", adapter="dora", max_steps=1)
    assert (code, last(events).code) == (1, "not_quantisable")
    assert "settings.adapter" in last(events).reason


def test_the_started_event_says_which_optimiser_it_is(train_here: Train) -> None:
    _, events = train_here(max_steps=1)
    assert next(event for event in events if isinstance(event, Started)).data["optimiser"] == "adamw"


def test_chat_switches_between_kinds_of_adapters_on_one_base(train_here: Train, base: Path, tmp_path: Path) -> None:
    ids = torch.arange(5, 25)[None]
    chat = LoadedBase(key_of(base, "cpu"))
    expected, said = {}, {}
    for kind in ("dora", "lora"):
        train_here(out=kind, max_steps=2, adapter=kind, rslora=kind == "lora")
        folder = tmp_path / kind / "adapter"
        with torch.no_grad():
            expected[kind] = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)(ids).logits
        said[kind] = chat.attach(folder, in_use=frozenset())
    for kind in ("dora", "lora", "dora"):
        chat.use(said[kind])
        with torch.no_grad():
            torch.testing.assert_close(chat.model(ids).logits, expected[kind], rtol=1e-5, atol=1e-4)
    chat.use(None)
    with torch.no_grad():
        assert torch.equal(chat.model(ids).logits, AutoModelForCausalLM.from_pretrained(base)(ids).logits)
