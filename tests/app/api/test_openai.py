"""The official client against the whole way: web, key, name of a model, inference server."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.artifacts import Artifact
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts, Identity
from tests.databases import add_dataset, add_run
from tests.waiting import PATIENCE_SECONDS
from tests.workers.conftest import make_adapter, make_base
from tests.workers.inference.conftest import KEY, Running, running

ASKED: list[Any] = [{"role": "user", "content": "Where is my order?"}]
TUNED, WHOLE = "ft:tiny:default:mails:1", "ft:gone:default:mails:2"


@dataclass
class Studio:
    """A studio that answers on a port, with one base and one tuned model."""

    url: str
    key: str
    base: str
    client: openai.OpenAI

    def post(self, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def inference() -> Iterator[Running]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def studio(inference: Running, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(migrated_sqlite, home / "hone.db")
    app, base, key = _prepare(home, inference.url)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=PATIENCE_SECONDS) as client:
        yield Studio(url, key, str(base), client)
    server.should_exit = True
    thread.join()


def _prepare(home: Path, inference_url: str) -> tuple[FastAPI, Path, str]:
    """Make an application on a home that has a database; return it with its base and a key."""
    base = make_base(home / "bases" / "tiny")
    app = create_app(Settings(home=home, inference_url=inference_url, inference_key=KEY, model_dirs=str(base.parent)))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        owner = accounts.ensure_owner()
        key: str = accounts.create_key(owner, "tests")[1]
    _fill(app.state.studio, owner, make_adapter(base, home / "adapter"), base_model=str(base), model=TUNED)
    whole = make_base(home / "whole", seed=7)
    full = {"settings": {"tuning": "full"}}
    _fill(app.state.studio, owner, whole, base_model=str(home / "bases" / "gone"), model=WHOLE, spec=full)
    return app, base, key


def _fill(studio: Any, owner: Identity, folder: Path, **made: Any) -> None:
    """Put a finished run in that made what lies in a folder."""
    packed = studio.incoming / "adapter.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    sealed = studio.storage.seal(packed)
    with unit_of_work(studio.engine) as session:
        kept = Artifact(
            project_id=owner.project_id, kind="adapter", filename="adapter.zip", sha256=sealed.sha256, size_bytes=sealed.size_bytes
        )
        studio.storage.put(sealed)
        session.add(kept)
        session.flush()
        artifact_id = kept.id
    ended = {"adapter_id": artifact_id, "status": "succeeded", "finished_at": datetime.now(UTC)}
    add_run(studio.engine, owner, add_dataset(studio.engine, owner), **ended, **made)


def ask(studio: Studio, model: str, **fields: Any) -> Any:
    return studio.client.chat.completions.create(model=model, messages=ASKED, temperature=0, max_tokens=16, **fields)


def test_models_are_listed_and_shown_by_name(studio: Studio) -> None:
    listed = {model.id: model for model in studio.client.models.list()}
    assert {studio.base, TUNED} <= listed.keys()
    assert listed[TUNED].created > 0
    assert studio.client.models.retrieve(TUNED).id == TUNED
    assert studio.client.models.retrieve(studio.base).owned_by == "hone"


def test_base_and_tuned_answer_differently_and_under_their_names(studio: Studio) -> None:
    base, tuned = ask(studio, studio.base), ask(studio, TUNED)
    assert (base.model, tuned.model) == (studio.base, TUNED)
    assert base.choices[0].message.content != tuned.choices[0].message.content
    assert tuned.usage.total_tokens == tuned.usage.prompt_tokens + 16
    assert tuned.choices[0].finish_reason == "length"


def test_a_model_that_was_tuned_as_a_whole_answers_by_itself_though_its_base_is_gone(studio: Studio) -> None:
    base, tuned = ask(studio, studio.base), ask(studio, WHOLE)
    assert tuned.model == WHOLE
    assert tuned.choices[0].message.content != base.choices[0].message.content
    assert tuned.usage.prompt_tokens == base.usage.prompt_tokens


def test_a_tuned_model_streams_what_it_answers_whole(studio: Studio) -> None:
    *chunks, last = ask(studio, TUNED, stream=True, stream_options={"include_usage": True})
    whole = ask(studio, TUNED)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.usage == whole.usage


def test_an_unknown_model_is_not_found(studio: Studio) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        ask(studio, "gpt-99")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        studio.client.models.retrieve("ft:nobody:x:y:z")


def test_a_wrong_key_is_told_so(studio: Studio) -> None:
    refused = studio.post({"model": studio.base, "messages": ASKED}, key="hone_wrong")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"model": None}, "model"),
        ({"stream_options": {}}, "stream_options"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": [{"role": "user", "content": "order " * 600}]}, "messages"),
    ],
)
@pytest.mark.parametrize("stream", [False, None])
def test_wrong_fields_are_400_in_openais_shape(studio: Studio, fields: dict[str, Any], param: str, stream: object) -> None:
    answer = studio.post({"model": studio.base, "messages": ASKED, "stream": stream, "made_up": 1, **fields})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


def test_a_refusal_of_a_stream_still_has_a_status(studio: Studio) -> None:
    answer = studio.post({"model": studio.base, "stream": True, "messages": [{"role": "user", "content": "order " * 600}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_broken_json_is_400(studio: Studio) -> None:
    headers = {"Authorization": f"Bearer {studio.key}", "Content-Type": "application/json"}
    answer = httpx.post(f"{studio.url}/v1/chat/completions", content=b"{", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.material
def test_answers_have_every_field_that_openais_own_description_requires(studio: Studio, material: Path) -> None:
    described = yaml.load((material / "openai-openapi.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    schemas = described["components"]["schemas"]
    whole = studio.post({"model": TUNED, "messages": ASKED, "max_tokens": 3}).json()
    _conforms(whole, schemas["CreateChatCompletionResponse"], schemas)
    streamed = studio.post({"model": TUNED, "messages": ASKED, "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}})
    events = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    for event in events[:-1]:
        _conforms(json.loads(event), schemas["CreateChatCompletionStreamResponse"], schemas)


def _conforms(value: Any, schema: dict[str, Any], schemas: dict[str, Any], at: str = "") -> None:
    """Check what is required, of which type, and which words are allowed, as deep as the description goes."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if value is None:
        return
    kinds = {"string": str, "integer": int, "array": list, "object": dict, "boolean": bool}
    if schema.get("type") in kinds:
        assert isinstance(value, kinds[schema["type"]]), at
    assert value in schema.get("enum", [value]), at
    for name in schema.get("required", []):
        assert name in value, f"{at}.{name}"
    for name, inner in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            _conforms(value[name], inner, schemas, f"{at}.{name}")
    for item in value if isinstance(value, list) else ():
        _conforms(item, schema.get("items", {}), schemas, f"{at}[]")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_generation(studio: Studio, stream: object) -> None:
    """The other base can only be loaded when nothing is under way on the long one."""
    long = make_base(Path(studio.base).parent / "long", context=200_000)
    body = {"model": str(long), "messages": ASKED, "temperature": 0, "max_tokens": 190_000, "stream": stream}
    headers = {"Authorization": f"Bearer {studio.key}"}
    url = f"{studio.url}/v1/chat/completions"
    with contextlib.suppress(httpx.ReadTimeout), httpx.stream("POST", url, json=body, headers=headers, timeout=3) as answer:
        next(answer.iter_bytes())
    assert ask(studio, studio.base).usage.completion_tokens == 16


def test_without_an_inference_server_one_is_told_so(migrated_sqlite: Path, nobody: str, tmp_path: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app, base, key = _prepare(tmp_path, nobody)
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as client:
        answer = client.post("/v1/chat/completions", json={"model": str(base), "messages": ASKED, "stream": True})
    app.state.studio.engine.dispose()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
