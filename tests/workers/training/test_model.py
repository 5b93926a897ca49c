"""What a base is given to train: adapters on its language model alone, four bits only where they hold it, and refusals in words."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from app.domain.architectures import UNPACKED
from app.domain.errors import Invalid
from app.domain.specs import TrainingSettings
from tests.workers.training.families import SHAPE, written_once
from workers.training.base_model import BaseModel
from workers.training.model import UNPACKING, LoadedModel, adapted_share, load_model
from workers.training.precision import Precision

SIGHT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}


def loaded(folder: Path, **settings: Any) -> LoadedModel:
    config = json.loads((folder / "config.json").read_text())
    chosen = TrainingSettings.model_validate({"rank": 4, "dropout": 0.0, **settings})
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # peft names the experts that other models would have
        return load_model(BaseModel(folder, folder.name, config), chosen, Precision("fp32", "a test"), torch.device("cpu"))


def family(name: str, folder: Path) -> Path:
    return written_once(folder)(name)


def test_an_adapter_leaves_alone_what_a_model_sees_pictures_with(tmp_path: Path) -> None:
    text = SHAPE | {"head_dim": 16}
    config = Gemma3Config(text_config=text, vision_config=SIGHT, mm_tokens_per_image=4, image_token_index=300, boi_token_index=301)
    torch.manual_seed(0)
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path / "sees")
    model = loaded(tmp_path / "sees")
    adapted = [name for name, weight in model.base.named_parameters() if weight.requires_grad]
    assert any("language_model" in name for name in adapted)
    assert all("language_model" in name for name in adapted)
    assert any("vision" in name for name, _ in model.base.named_parameters())
    opened = loaded(tmp_path / "sees", tuning="full")
    assert not any("vision" in name for name, weight in opened.base.named_parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", ["qwen3-moe", "gpt-oss"])
def test_experts_that_no_four_bits_hold_are_counted(name: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="mixtures of experts; use LoRA") as refused:
        loaded(family(name, tmp_path), tuning="qlora")
    assert (refused.value.code, refused.value.param) == ("not_quantisable", "tuning")


def test_a_whole_language_model_in_four_bits_is_all_of_it(tmp_path: Path) -> None:
    assert loaded(family("llama", tmp_path), tuning="qlora").nf4_share == 1.0


@pytest.mark.parametrize(("settings", "param"), [({"dropout": 0.1}, "dropout"), ({"adapter": "dora"}, "adapter")])
def test_what_peft_has_no_adapter_for_is_told_with_the_setting_to_change(settings: dict[str, Any], param: str, tmp_path: Path) -> None:
    folder = family("qwen3-moe", tmp_path)
    with pytest.raises(Invalid, match=rf"Set settings\.{param} to ") as refused:
        loaded(folder, **settings)
    assert (refused.value.code, refused.value.param) == ("unknown_architecture", param)
    assert loaded(folder).peft is not None


def test_a_base_whose_files_lack_weights_is_refused_before_they_are_made_up(tmp_path: Path) -> None:
    folder = family("qwen3", tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Invalid, match=r"lack 1 of its weights \(lm_head.weight\)") as refused:
        loaded(folder)
    assert refused.value.code == "unknown_model"


def test_weights_of_another_shape_or_cut_off_are_told_in_words(tmp_path: Path) -> None:
    folder = family("qwen3", tmp_path)
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Invalid, match="cannot be loaded"):
        loaded(folder)
    path.write_bytes(whole)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 32}))
    with pytest.raises(Invalid, match="cannot be loaded"):
        loaded(folder)


@pytest.mark.parametrize("tuning", ["lora", "qlora", "full"])
@pytest.mark.parametrize(
    "quantised", [{"quant_method": "bitsandbytes", "load_in_4bit": True}, {"load_in_4bit": True}, {"quant_method": "gptq"}]
)
def test_weights_that_somebody_quantised_for_answering_are_not_trained(quantised: dict[str, Any], tuning: str, tmp_path: Path) -> None:
    folder = family("llama", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": quantised}))
    with pytest.raises(Invalid, match="quantised already"):
        loaded(folder, tuning=tuning)


def test_weights_that_can_be_unpacked_are_trained_but_not_held_in_four_bits(tmp_path: Path) -> None:
    folder = family("llama", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    with pytest.raises(Invalid, match="in another way"):
        loaded(folder, tuning="qlora")


@pytest.mark.parametrize(
    ("name", "least", "most"), [("llama", 1.0, 1.0), ("qwen3-moe", 1.0, 1.0), ("gpt-oss", 0.1, 0.6), ("qwen3-next", 0.5, 0.99)]
)
def test_how_much_of_a_base_an_adapter_reaches_is_counted(name: str, least: float, most: float, tmp_path: Path) -> None:
    assert least <= adapted_share(loaded(family(name, tmp_path)).base) <= most


def test_what_is_said_to_be_unpacked_before_a_model_is_here_is_unpacked() -> None:
    assert set(UNPACKING) == UNPACKED
