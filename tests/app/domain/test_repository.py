"""The scan of a model's repository: what would come, what is left out, and what stands against it."""

from __future__ import annotations

import json

import pytest

from app.domain.errors import Invalid, Unavailable
from app.domain.repository import HubFile, Scan, scan

GOOD: dict[str, object] = {
    "config.json": {"model_type": "llama"},
    "tokenizer.json": {},
    "tokenizer_config.json": {"chat_template": "{{ messages }}"},
    "model.safetensors": None,
}
INDEX = "model.safetensors.index.json"


def look(files: dict[str, object], *, licence: str | None = "apache-2.0", gated: bool = False, **sizes: int) -> Scan:
    """Scan a repository whose files hold this JSON; of weights there is nothing to read."""
    listed = [HubFile(name, "", sizes.get(name.partition(".")[0], 10), "0" * 64) for name in files]

    def read(name: str) -> bytes:
        assert files[name] is not None, f"{name} was read"
        return json.dumps(files[name]).encode()

    return scan(listed, read, licence=licence, gated=gated)


def codes(found: Scan) -> list[str]:
    return [f"{finding.level}: {finding.code}" for finding in found.findings]


def names(found: Scan) -> list[str]:
    return [file.path for file in found.wanted]


def test_a_plain_model_has_nothing_said_against_it() -> None:
    found = look(GOOD)
    assert (codes(found), found.size, found.size_left_out) == ([], 40, 0)
    found.check()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"config.json": {"model_type": "x", "auto_map": {"AutoModel": "a.B"}}}, "remote_code"),
        ({"tokenizer_config.json": {"auto_map": {"AutoTokenizer": "a.B"}}}, "remote_code"),
        ({INDEX: {"weight_map": {"a": "../../etc/passwd"}}}, "unsafe_format"),
        ({INDEX: {"weight_map": {"a": "pytorch_model.bin"}}}, "unsafe_format"),
        ({"config.json": {}}, "unknown_model"),
    ],
    ids=str,
)
def test_what_must_not_come_is_stopped(more: dict[str, object], code: str) -> None:
    found = look(GOOD | more)
    assert codes(found)[0] == f"stop: {code}"
    with pytest.raises(Invalid):
        found.check()


def test_pickles_alone_are_stopped_and_beside_safetensors_left_out() -> None:
    without = {name: content for name, content in GOOD.items() if name != "model.safetensors"}
    assert codes(look(without | {"pytorch_model.bin": None}))[0] == "stop: unsafe_format"
    beside = look(GOOD | {"pytorch_model.bin": None, "optimizer.pt": None})
    assert codes(beside) == ["warn: pickles"]
    assert not {"pytorch_model.bin", "optimizer.pt"} & {*names(beside)}


def test_programs_stay_where_they_are() -> None:
    found = look(GOOD | {"modeling_x.py": None, "setup.py": None})
    assert codes(found) == ["warn: programs"]
    assert [file.path for file in found.left_out] == ["modeling_x.py", "setup.py"]


def test_weights_that_lie_there_twice_come_once() -> None:
    shards = {"model-1-of-2.safetensors": None, "model-2-of-2.safetensors": None}
    index = {INDEX: {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}}
    base = {name: content for name, content in GOOD.items() if name != "model.safetensors"}
    found = look(base | shards | index | {"consolidated.safetensors": None, "model.safetensors": None}, consolidated=900)
    assert [name for name in names(found) if name.endswith(".safetensors")] == [*shards]
    assert found.size_left_out == 910
    assert "consolidated.safetensors" not in names(look(GOOD | {"consolidated.safetensors": None}))


def test_weights_that_the_config_names_come_and_no_others() -> None:
    named = {"config.json": {"model_type": "llama", "transformers_weights": "x.safetensors"}, "x.safetensors": None}
    found = look(GOOD | named)
    assert (codes(found), [name for name in names(found) if name.endswith(".safetensors")]) == ([], ["x.safetensors"])
    index = "x.safetensors.index.json"
    listed = {"config.json": {"model_type": "llama", "transformers_weights": index}, index: {"weight_map": {"a": "a-1.safetensors"}}}
    found = look(GOOD | listed | {"a-1.safetensors": None})
    assert (codes(found), {*names(found)} - {*GOOD}, "model.safetensors" in names(found)) == ([], {index, "a-1.safetensors"}, False)
    assert codes(look(GOOD | listed))[0] == "stop: incomplete"
    hidden = {
        "config.json": {"model_type": "llama", "transformers_weights": f".{index}"},
        f".{index}": listed[index],
        "a-1.safetensors": None,
    }
    assert codes(look(GOOD | hidden)) == ["stop: incomplete"]


def test_only_what_a_model_is_loaded_from_and_its_papers_come() -> None:
    others = ["model.gguf", "onnx/model.onnx", "original/params.json", "figure.png", "adapter_config.json", "tf_model.h5", ".gitattributes"]
    papers = ["LICENSE", "LICENCE.txt", "README.md", "NOTICE", "chat_template.jinja", "merges.txt"]
    found = look(GOOD | dict.fromkeys(others) | dict.fromkeys(papers))
    assert sorted(names(found)) == sorted([*GOOD, *papers])
    assert [file.path for file in found.left_out] == others


@pytest.mark.parametrize("name", ["LICENSE.bin", "LICENSE.py", "NOTICE.pkl", "COPYING.tar.gz", "LICENSE-2.0.pt", "LICENSE.safetensors.exe"])
def test_what_merely_calls_itself_a_licence_stays_where_it_is(name: str) -> None:
    assert name not in names(look(GOOD | {name: None}))
    assert "LICENSE" not in names(look(GOOD | {"LICENSE": None}, LICENSE=2**20 + 1))


@pytest.mark.parametrize("name", ["../x.json", "a/b.json", "-rf.json", "x\ny.json", ".hidden.json", "..", "c:\\x.json", "é.json"])
def test_a_name_that_could_lead_elsewhere_is_never_wanted(name: str) -> None:
    assert name not in names(look(GOOD | {name: {}}))


def test_a_model_without_a_tokenizer_is_stopped() -> None:
    assert codes(look({"config.json": {"model_type": "x"}, "model.safetensors": None})) == ["stop: no_tokenizer"]


@pytest.mark.parametrize("there", [["model-1-of-2.safetensors"], ["model.safetensors", "model-1-of-2.safetensors"], ["other.safetensors"]])
def test_a_model_whose_weights_are_not_all_there_is_stopped(there: list[str]) -> None:
    named = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors", "c": there[0]}
    base = {name: content for name, content in GOOD.items() if name != "model.safetensors"}
    found = look(base | {INDEX: {"weight_map": named}} | dict.fromkeys(there))
    assert codes(found)[0] == "stop: incomplete"
    assert "The repository lacks" in found.findings[0].message


def test_parts_without_an_index_are_stopped_and_beside_a_whole_file_left_out() -> None:
    parts = dict.fromkeys(["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"])
    base = {name: content for name, content in GOOD.items() if name != "model.safetensors"}
    found = look(base | parts)
    assert codes(found) == ["stop: incomplete"]
    assert "The repository lacks model.safetensors.index.json" in found.findings[0].message
    with pytest.raises(Invalid):
        found.check()
    beside = look(GOOD | parts | {"adapter_model.safetensors": None})
    assert (codes(beside), {*names(beside)} & {*parts, "adapter_model.safetensors"}) == ([], set())


def test_an_adapter_alone_is_no_model() -> None:
    base = {name: content for name, content in GOOD.items() if name != "model.safetensors"}
    found = look(base | {"adapter_model.safetensors": None, "adapter_config.json": None})
    assert (codes(found)[0], "holds an adapter" in found.findings[0].message) == ("stop: unknown_model", True)


def test_an_index_of_before_is_no_harm_where_the_weights_lie_in_one_file() -> None:
    found = look(GOOD | {INDEX: {"weight_map": {"a": "model-1-of-1.safetensors"}}})
    assert (codes(found), "model.safetensors" in names(found)) == ([], True)


@pytest.mark.parametrize("name", [".hidden.safetensors", "é.safetensors"])
def test_weights_that_may_not_come_under_their_names_are_stopped(name: str) -> None:
    base = {file: content for file, content in GOOD.items() if file != "model.safetensors"}
    assert codes(look(base | {name: None}))[0] == "stop: incomplete"
    assert codes(look(base | {name: None, INDEX: {"weight_map": {"a": name}}}))[0] == "stop: incomplete"


def test_a_tokenizer_of_absurd_size_is_none_and_that_is_said() -> None:
    found = look(GOOD, tokenizer=2**30)
    assert codes(found) == ["stop: no_tokenizer", "warn: too_large"]
    assert codes(look(GOOD | {"vocab.json": {}}, tokenizer=2**30)) == ["warn: too_large"]


def test_what_one_has_to_know_is_noted() -> None:
    quantised = {"config.json": {"model_type": "x", "quantization_config": {"quant_method": "gptq"}}, "tokenizer_config.json": {}}
    assert codes(look(GOOD | quantised, gated=True, licence=None)) == [
        "warn: quantised", "warn: no_licence", "warn: shared", "note: no_template", "note: gated"
    ]  # fmt: skip
    assert codes(look(GOOD, licence="llama3.2")) == ["note: licence"]
    assert "Look for the same model in bf16" in look(GOOD | quantised).findings[0].message
    unpacked = {"config.json": {"model_type": "x", "quantization_config": {"quant_method": "mxfp4"}}}
    assert "(mxfp4). LoRA unpacks them, and QLoRA is refused." in look(GOOD | unpacked).findings[0].message
    assert "note: no_template" not in codes(look(GOOD | quantised | {"chat_template.jinja": None}))
    odd = {"config.json": {"model_type": "x", "quantization_config": {"quant_method": "\ud800"}}}
    assert "stored quantised (no method named)." in look(GOOD | odd).findings[0].message


def test_a_hub_that_falls_silent_is_no_finding() -> None:
    def read(_: str) -> bytes:
        raise Unavailable("The Hub cannot be asked just now.")

    with pytest.raises(Unavailable):
        scan([HubFile(name, "", 1) for name in GOOD], read, licence=None, gated=False)


def test_a_configuration_of_absurd_size_is_not_read() -> None:
    assert codes(look(GOOD | {"config.json": None}, config=2**30))[0] == "stop: unknown_model"
