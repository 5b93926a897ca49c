"""Which model folders may be loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from app.domain.base_models import check_model_folder
from app.domain.errors import Invalid

GOOD = {"config.json": {"model_type": "llama"}, "model.safetensors": None, "tokenizer.json": {}}


def check(files: Mapping[str, object]) -> None:
    check_model_folder(files, lambda name: json.dumps(files[name]).encode())


def test_a_plain_folder_is_taken() -> None:
    check(GOOD)
    check(GOOD | {"model.safetensors.index.json": {"weight_map": {"a": "model-1.safetensors"}}})
    check(GOOD | {"consolidated.safetensors.index.json": {"weight_map": {"a": "consolidated-1.safetensors"}}})
    check(GOOD | {"pytorch_model.bin": None})


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"model.safetensors": None}, "unknown_model"),
        ({"config.json": {"model_type": "llama"}}, "unknown_model"),
        ({"config.json": {}, "model.safetensors": None}, "unknown_model"),
        ({"config.json": [1], "model.safetensors": None}, "unknown_model"),
        ({"config.json": {"model_type": "llama"}, "pytorch_model.bin": None}, "unsafe_format"),
        (GOOD | {"model.safetensors.index.json": {"weight_map": {"a": "../../etc/x.safetensors"}}}, "unsafe_format"),
        (GOOD | {"model.safetensors.index.json": {"weight_map": {"a": "pytorch_model.bin"}}}, "unsafe_format"),
        (GOOD | {"model.safetensors.index.json": {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}}, "incomplete"),
        (GOOD | {"config.json": {"model_type": "llama", "auto_map": {"AutoModel": "x.Y"}}}, "remote_code"),
        (GOOD | {"config.json": {"model_type": "llama", "text_config": [{"auto_map": {"A": "b"}}]}}, "remote_code"),
        (GOOD | {"tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["x.Y", None]}}}, "remote_code"),
        (GOOD | {"config.json": {"model_type": "llama", "_attn_implementation": "some/kernel"}}, "remote_code"),
    ],
)
def test_anything_that_could_run_code_is_not(files: dict[str, object], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(files)
    assert (refused.value.code, refused.value.param) == (code, "base_model")
