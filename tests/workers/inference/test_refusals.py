"""What is refused, and in which words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.workers.conftest import make_base
from tests.workers.inference.conftest import Running

PATH = "/v1/chat/completions"


def body(base: Path, **fields: Any) -> dict[str, Any]:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "hone": {"base_dir": str(base)}}
    return {**asked, **fields}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0.content"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function"}]}, "tools"),
    ],
)
def test_a_wrong_field_is_named_in_openais_shape(server: Running, tiny_base: Path, fields: dict[str, Any], param: str) -> None:
    answer = server.post(PATH, body(tiny_base, **fields))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


def test_unknown_fields_and_those_that_ask_for_nothing_are_ignored(server: Running, tiny_base: Path) -> None:
    answer = server.post(PATH, body(tiny_base, user="me", tools=[], logprobs=False, frequency_penalty=0, made_up=1, stop=None))
    assert answer.status_code == 200


def test_broken_json_is_a_bad_request(server: Running) -> None:
    with server.http as http:
        answer = http.post(PATH, content=b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_nobody_without_the_key_gets_in(server: Running) -> None:
    with pytest.raises(openai.AuthenticationError), openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong") as client:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x"}])
    assert httpx.get(f"{server.url}/status").status_code == 401
    assert httpx.get(f"{server.url}/livez").status_code == 200


def refusal(server: Running, base: Path, adapter: Path | None = None) -> str:
    answer = server.post(PATH, body(base, hone={"base_dir": str(base), "adapter_dir": str(adapter) if adapter else None}))
    assert answer.status_code == 400, answer.text
    code = answer.json()["error"]["code"]
    assert isinstance(code, str)
    return code


def test_a_base_that_brings_code_is_not_loaded(server: Running, tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "foreign"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "x.Y"}}))
    assert refusal(server, folder) == "remote_code"


def test_a_folder_that_is_gone_or_broken_is_no_model(server: Running, tiny_base: Path, tmp_path: Path) -> None:
    assert refusal(server, tmp_path / "gone") == "unknown_model"
    folder = Path(shutil.copytree(tiny_base, tmp_path / "broken"))
    (folder / "model.safetensors").write_bytes(b"no weights")
    assert refusal(server, folder) in {"unknown_model", "unsafe_format"}


def test_a_pickled_adapter_is_not_loaded(server: Running, tiny_base: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "pickled"))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert refusal(server, tiny_base, folder) == "unusable_adapter"


def test_an_adapter_of_another_base_is_refused_and_the_base_stays_whole(
    server: Running, tiny_base: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    fresh = Path(shutil.copytree(tiny_base, tmp_path / "fresh"))
    before = server.post(PATH, body(fresh, temperature=0)).json()["choices"]
    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "misfit"))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    assert refusal(server, fresh, folder) == "unusable_adapter"
    assert server.post(PATH, body(fresh, temperature=0)).json()["choices"] == before


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no system turns here') }}",
        "{% for i in range(99999999) %}{% for j in range(99999999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% if %}",
    ],
)
def test_a_hostile_template_ends_its_own_request_only(server: Running, tmp_path: Path, tiny_base: Path, template: str) -> None:
    assert refusal(server, make_base(tmp_path / "hostile", template=template)) == "template_error"
    assert server.post(PATH, body(tiny_base)).status_code == 200
