import json
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from app.domain.architectures import NO_FOUR_BITS, Architecture, lora_parameters
from app.domain.errors import Invalid

TINY: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WIDE = TINY | {"head_dim": 16}
STATES = ["linear_attention", "full_attention", "linear_attention", "full_attention"]
MAMBA = {"layer_types": STATES, "mamba_n_heads": 6, "mamba_d_state": 8, "mamba_d_head": 16, "shared_intermediate_size": 40}
DELTA = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
SIGLIP = {"model_type": "siglip_vision_model", "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 28, "patch_size": 14, "vision_use_head": False}  # fmt: skip
PIXTRAL = {
    "model_type": "pixtral",
    "hidden_size": 32,
    "intermediate_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 14,
}
QWEN = {
    "hidden_size": 24,
    "intermediate_size": 36,
    "depth": 2,
    "num_heads": 2,
    "patch_size": 4,
    "out_hidden_size": 48,
    "num_position_embeddings": 16,
}
TEXT = [
    {"model_type": "llama"} | TINY,
    {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True} | WIDE,
    {"model_type": "mistral"} | TINY,
    {"model_type": "ministral3", "tie_word_embeddings": True} | WIDE,
    {"model_type": "smollm3"} | TINY,
    {"model_type": "granite", "attention_bias": True, "mlp_bias": True} | TINY,
    {"model_type": "qwen2"} | TINY,
    {"model_type": "qwen3"} | TINY,
    {"model_type": "qwen3", "attention_bias": True, "tie_word_embeddings": True} | WIDE,
    {"model_type": "qwen3_moe", "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "mlp_only_layers": [0]} | WIDE,
    {"model_type": "qwen3_moe", "num_experts": 6, "decoder_sparse_step": 2} | WIDE,
    {"model_type": "qwen3_5_text"} | TINY | DELTA,
    {"model_type": "qwen3_5_text", "layer_types": STATES, "tie_word_embeddings": True} | WIDE | DELTA,
    {"model_type": "phi3"} | TINY,
    {"model_type": "gemma"} | WIDE,
    {"model_type": "gemma2"} | TINY,
    {"model_type": "gemma3_text"} | TINY,
    {"model_type": "mixtral", "num_local_experts": 4} | TINY,
    {"model_type": "gpt_oss", "num_local_experts": 4} | TINY,
    {"model_type": "granitemoehybrid", "num_local_experts": 4, "num_experts_per_tok": 2} | TINY | MAMBA,
    {"model_type": "granitemoehybrid", "num_local_experts": 0, "tie_word_embeddings": True}
    | TINY
    | MAMBA
    | {"layer_types": ["full_attention"] * 4},
]
SEEING = [
    {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"} | TINY, "vision_config": SIGLIP, "mm_tokens_per_image": 4},
    {"model_type": "gemma3", "text_config": TINY, "vision_config": SIGLIP | {"vision_use_head": True}, "mm_tokens_per_image": 4},
    {"model_type": "mistral3", "text_config": {"model_type": "ministral3"} | WIDE, "vision_config": PIXTRAL, "tie_word_embeddings": False},
    {"model_type": "qwen3_5", "text_config": {"model_type": "qwen3_5_text"} | TINY | DELTA, "vision_config": QWEN},
]  # fmt: skip


def built(config: Mapping[str, Any], kind: Any) -> PreTrainedModel:
    """Build a model without weights, as transformers reads the configuration."""
    with torch.device("meta"):
        model: PreTrainedModel = kind.from_config(read(config))
    return model


def read(config: Mapping[str, Any]) -> PreTrainedConfig:
    rest = {key: value for key, value in config.items() if key != "model_type"}
    return AutoConfig.for_model(config["model_type"], **json.loads(json.dumps(rest)))


@pytest.mark.parametrize("config", TEXT, ids=lambda config: config["model_type"])
def test_a_familys_parameters_are_those_of_the_model_itself(config: Mapping[str, Any]) -> None:
    model = built(config, AutoModelForCausalLM)
    measured = Architecture.from_config(config)
    assert (measured.parameters, measured.exact) == (model.num_parameters(), True)
    assert Architecture.from_config(json.loads(read(config).to_json_string())).parameters == measured.parameters


@pytest.mark.parametrize("config", TEXT, ids=lambda config: config["model_type"])
def test_the_linear_layers_are_those_that_an_adapter_reaches(config: Mapping[str, Any]) -> None:
    model = built(config, AutoModelForCausalLM)
    there = [
        (name.rsplit(".", 1)[-1], module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    ]
    ours = chain.from_iterable([linear[:3]] * linear.copies for linear in Architecture.from_config(config).linears)
    assert sorted(ours) == sorted(there)


@pytest.mark.parametrize("config", SEEING, ids=lambda config: config["model_type"])
def test_what_sees_pictures_is_counted_where_its_tower_is_known(config: Mapping[str, Any]) -> None:
    measured = Architecture.from_config(config)
    assert measured.parameters == built(config, AutoModelForImageTextToText).num_parameters()
    assert measured.vision_parameters > 0


def test_a_configuration_without_what_its_family_takes_for_granted_is_read_with_that() -> None:
    said = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "model_type": "gemma3_text"}
    tower = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14}
    whole = {"model_type": "gemma3", "text_config": said, "vision_config": tower | {"vision_use_head": False}}
    assert Architecture.from_config(whole).parameters == 4_300_079_472


def test_what_hears_is_left_out_and_said() -> None:
    text = {"model_type": "gemma3n_text"} | TINY | {"intermediate_size": [80, 80, 96, 96]}
    measured = Architecture.from_config({"model_type": "gemma3n", "text_config": text, "audio_config": {}, "vision_config": {}})
    assert (measured.exact, measured.intermediate) == (False, 96)
    assert "gemma3n_text" in measured.gap
    heard = Architecture.from_config({"model_type": "voxtral", "text_config": {"model_type": "llama"} | TINY, "audio_config": {}})
    assert "hears" in heard.gap


@pytest.mark.parametrize(
    ("said", "quantised", "is_for_answers_alone"),
    [
        (None, "", False),
        ({}, "", False),
        ({"quant_method": "mxfp4"}, "mxfp4", False),
        ({"quant_method": "gptq"}, "gptq", True),
        ({"bits": 4}, "no method named", True),
        ("awq", "no method named", True),
        ({"quant_method": 4}, "no method named", True),
        ({"quant_method": "\ud800"}, "no method named", True),
        ({"quant_method": "g\x00ptq"}, "no method named", True),
        ({"quant_method": "g" * 65}, "no method named", True),
    ],
    ids=ascii,
)
def test_weights_that_are_quantised_already_are_told(said: object, quantised: str, is_for_answers_alone: bool) -> None:  # noqa: FBT001 - a table
    measured = Architecture.from_config({"model_type": "llama", "quantization_config": said} | TINY)
    assert (measured.quantised, measured.is_for_answers_alone) == (quantised, is_for_answers_alone)


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"model_type": "llama"}, {}),
        ({"model_type": "llama", "quantization_config": {"quant_method": "fp8"}}, {"qlora": "(fp8), so QLoRA is refused"}),
        (
            {"model_type": "llama", "quantization_config": {"quant_method": "awq"}},
            dict.fromkeys(("qlora", "lora", "full"), "(awq), which is good for answering"),
        ),
        ({"model_type": "mixtral", "num_local_experts": 4}, {"qlora": NO_FOUR_BITS}),
    ],
    ids=["plain", "unpacked", "for answers alone", "experts in one block"],
)
def test_what_is_never_trained_in_a_way_says_why(config: dict[str, object], refused: dict[str, str]) -> None:
    measured = Architecture.from_config(config | TINY)
    for tuning in ("qlora", "lora", "full"):
        said = measured.refusal(tuning)
        assert refused[tuning] in said if tuning in refused else said == ""


def test_a_family_that_is_not_known_is_counted_like_a_llama_and_says_so() -> None:
    known = Architecture.from_config({"model_type": "llama"} | TINY)
    other = Architecture.from_config({"model_type": "brand_new"} | TINY)
    assert (other.parameters, other.exact) == (known.parameters, False)
    assert "brand_new" in other.gap


@pytest.mark.parametrize(
    "broken",
    [
        {}, {"model_type": 3}, {"model_type": "llama"}, {"text_config": {"model_type": "x\x00"} | TINY},
        *({"model_type": odd} | TINY for odd in ("x\ud800y", "x\x00y", "x\ny", "läma", "x" * 65, "")),
        {"hidden_size": -1}, {"hidden_size": 1e30}, {"num_hidden_layers": "12"}, {"vocab_size": True},
    ],
    ids=lambda broken: ascii(broken)[:80],
)  # fmt: skip
def test_a_configuration_that_makes_no_sense_is_refused(broken: dict[str, Any]) -> None:
    config = {"model_type": "llama"} | TINY | broken if set(broken) - {"model_type"} else broken
    with pytest.raises(Invalid) as refused:
        Architecture.from_config(config)
    assert refused.value.code == "unknown_architecture"


@pytest.mark.parametrize("parameters", [1e5, 260_032, 135e6, 1e9, 3e9, 7e9, 7_000_000_001, 70e9, 405e9, 1e13])
def test_a_shape_of_a_size_has_exactly_that_many_parameters(parameters: float) -> None:
    shape = Architecture.of_size(parameters)
    assert shape.parameters == parameters
    assert shape.hidden == shape.heads * shape.head_dim
    assert 0 < shape.embedding_parameters < 0.7 * parameters
    assert not shape.exact


def test_seven_billion_have_the_shape_of_llama_2() -> None:
    shape = Architecture.of_size(7e9)
    assert (shape.layers, shape.hidden, shape.heads, shape.vocabulary) == (32, 4096, 32, 32000)


@pytest.mark.parametrize("parameters", [0, -7e9, 12, 1e14, float("nan")])
def test_a_size_that_no_model_has_is_refused(parameters: float) -> None:
    with pytest.raises(Invalid, match=re.escape("none that is known")):
        Architecture.of_size(parameters)


@pytest.mark.material
def test_lora_counts_are_the_published_ones(material: Any) -> None:
    published = [row for row in json.loads((material / "paper_oracles.json").read_text())["lora_counts"] if row["match"]]
    counted = [lora_parameters(row["rank"], map(tuple, row["modules_in_out"]), row["layers"]) for row in published]
    assert counted == [row["published"] for row in published]
    assert len(published) == 5


def test_an_adapter_on_all_linear_layers_of_qwen3_14b_trains_the_published_number() -> None:
    qwen = {
        "model_type": "qwen3", "hidden_size": 5120, "intermediate_size": 17408, "num_hidden_layers": 40, "num_attention_heads": 40,
        "num_key_value_heads": 8, "vocab_size": 151936,
    }  # fmt: skip
    measured = Architecture.from_config(qwen)
    assert (measured.parameters, measured.lora_parameters(32)) == (14_768_307_200, 128_450_560)


def test_dora_trains_a_length_for_each_output_too() -> None:
    measured = Architecture.from_config({"model_type": "llama"} | TINY)
    outputs = 4 * (48 + 24 + 24 + 48 + 80 + 80 + 48)
    assert measured.lora_parameters(8, dora=True) - measured.lora_parameters(8) == outputs


def test_a_token_passes_only_the_experts_it_is_sent_to() -> None:
    config = {
        "model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32, "hidden_size": 2880, "intermediate_size": 2880,
        "num_attention_heads": 64, "vocab_size": 201088,
    }  # fmt: skip
    measured = Architecture.from_config(config)
    assert measured.parameters == 20_914_757_184
    assert round(measured.computed_parameters / 1e9, 1) == 3.6
