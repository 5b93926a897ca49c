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
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], "incomplete", "what lies in which of its 2 files"),
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


def test_an_index_that_names_nothing_is_told_from_one_that_is_not_there() -> None:
    for there in (["model-1-of-2.safetensors", "model-2-of-2.safetensors"], ["model-1-of-2.safetensors"]):
        with pytest.raises(Invalid, match=r"model.safetensors.index.json names no files"):
            check(BARE | dict.fromkeys(there) | {INDEX: {"weight_map": []}})
        with pytest.raises(Invalid, match=r"lacks .*model.safetensors.index.json[,.] "):
            check(BARE | dict.fromkeys(there))


def naming(named: object) -> dict[str, object]:
    """Return a config.json that names where the weights lie."""
    return {"config.json": {"model_type": "llama", "transformers_weights": named}}


def test_weights_lie_where_the_config_names_them() -> None:
    check(GOOD | naming(None))
    check(BARE | naming("odd.safetensors") | {"odd.safetensors": None, INDEX: {"weight_map": {"a": "gone.safetensors"}}})
    named = BARE | naming("odd.safetensors.index.json") | {"a-1.safetensors": None}
    check(named | {"odd.safetensors.index.json": {"weight_map": {"a": "a-1.safetensors"}}})


@pytest.mark.parametrize(
    ("named", "index", "code", "words"),
    [
        ("nothing.safetensors", {}, "incomplete", "lacks 'nothing.safetensors', where config.json says that the weights lie"),
        ("nothing.safetensors.index.json", {}, "incomplete", "lacks 'nothing.safetensors.index.json'"),
        ("odd.safetensors.index.json", {"weight_map": {"a": "a.safetensors"}}, "incomplete", "lacks 1 of the 1 files that odd"),
        ("odd.safetensors.index.json", {}, "incomplete", "where nothing looks for them: odd.safetensors.index.json has to name them"),
        ("x.bin", {}, "unsafe_format", "config.json points at 'x.bin'"),
        ("sub/model.safetensors", {}, "unsafe_format", "points at 'sub/model.safetensors'"),
        (["model.safetensors"], {}, "unsafe_format", "config.json points at"),
        (False, {}, "unsafe_format", "config.json points at 'False'"),
    ],
)
def test_weights_that_are_not_where_the_config_names_them_are_refused(named: object, index: object, code: str, words: str) -> None:
    files = GOOD | naming(named) | {"odd.safetensors.index.json": index, "x.bin": None, "False": None}
    with pytest.raises(Invalid, match=words) as refused:
        check(files)
    assert refused.value.code == code


def test_a_file_called_none_is_named_by_nobody() -> None:
    with pytest.raises(Invalid, match="where nothing looks"):
        check(BARE | {"None": None, "odd.safetensors": None})


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
