"""Which model folders may be loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from app.domain.base_models import check_model_folder
from app.domain.errors import Invalid

GOOD = {"config.json": {"model_type": "llama"}, "model.safetensors": None, "tokenizer.json": {}}
BARE = {name: content for name, content in GOOD.items() if name != "model.safetensors"}
INDEX = "model.safetensors.index.json"


def check(files: Mapping[str, object]) -> None:
    check_model_folder(files, lambda name: json.dumps(files[name]).encode())


def test_a_plain_folder_is_taken() -> None:
    check(GOOD)
    check(GOOD | {"model.safetensors.index.json": {"weight_map": {"a": "model-1.safetensors"}}})
    check(GOOD | {"consolidated.safetensors.index.json": {"weight_map": {"a": "consolidated-1.safetensors"}}})
    check(GOOD | {"pytorch_model.bin": None})
    parts = {"model-00001-of-00002.safetensors": None, "model-00002-of-00002.safetensors": None}
    check(BARE | parts | {INDEX: {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}})
    check(BARE | {"weights.safetensors": None, "config.json": {"model_type": "llama", "transformers_weights": "weights.safetensors"}})


@pytest.mark.parametrize(
    ("there", "code", "words"),
    [
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], "incomplete", "lacks model.safetensors.index.json"),
        (["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"], "incomplete", "lacks 1 of the 3 .* 'model-00002-of"),
        (["model-9-of-999999.safetensors"], "incomplete", "lacks 999998 of the 999999 .* 'model-1-of-999999"),
        (["model.fp16.safetensors", "vae.safetensors"], "incomplete", "lie in model.fp16.safetensors and 1 more, where nothing looks"),
        (["model-of-mine.safetensors"], "incomplete", "lie in model-of-mine.safetensors, where nothing looks"),
        (["adapter_model.safetensors"], "unknown_model", "holds an adapter"),
    ],
)
@pytest.mark.parametrize("index", [None, {}, [], {"weight_map": {}}], ids=repr)
def test_weights_that_no_loader_finds_are_refused_in_words(there: list[str], code: str, words: str, index: object) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        check(BARE | dict.fromkeys(there) | ({} if index is None else {INDEX: index}))
    assert refused.value.code == code
    check(GOOD | dict.fromkeys(there))


@pytest.mark.parametrize("named", [["model.safetensors"], {}, 7, "nothing.safetensors"], ids=repr)
def test_a_config_that_names_no_file_that_is_there_finds_no_weights(named: object) -> None:
    with pytest.raises(Invalid, match="where nothing looks"):
        check(BARE | {"odd.safetensors": None, "config.json": {"model_type": "llama", "transformers_weights": named}})


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


def test_a_setting_of_absurd_length_is_not_quoted_at_length() -> None:
    with pytest.raises(Invalid, match="code of its own") as refused:
        check(GOOD | {"config.json": {"model_type": "llama", "attn_implementation" + "x" * 10_000: "some/kernel"}})
    assert len(refused.value.message) < 200
