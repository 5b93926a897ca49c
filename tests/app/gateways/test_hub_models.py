"""Searching for models of the Hub and looking at one, against a stand-in on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Invalid, NotFound, StudioError, Unavailable
from app.domain.hub_models import Looked, Search, SortBy, Task
from app.gateways.hub_models import HubModels
from tests.hub_server import COMMIT, HubServer, hub

G = 1_000_000_000


def told(parameters: int, licence: str, **more: object) -> dict[str, object]:
    """Return what a search tells of a model."""
    tags = ["safetensors", "text-generation", f"license:{licence}"]
    return {"tags": tags, "safetensors": {"total": parameters}, "pipeline_tag": "text-generation", "downloads": 1, "likes": 1} | more


def make(folder: Path, **files: object) -> Path:
    folder.mkdir()
    for name, content in files.items():
        written = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(written, encoding="utf-8")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    small = make(
        tmp_path / "small", config__json={"model_type": "llama"}, tokenizer__json={}, model__safetensors="weights", README__md="# Small",
        tokenizer_config__json={"chat_template": "x"},
    )  # fmt: skip
    coded = make(tmp_path / "coded", config__json={"model_type": "x", "auto_map": {"A": "a.B"}}, model__safetensors="w", a__py="raise")
    with hub({"acme/small": small, "acme/large": small, "lab/small": small, "lab/coded": coded}) as started:
        started.models = {
            "acme/small": told(G, "apache-2.0", downloads=50, likes=1, createdAt="2026-01-01"),
            "acme/large": told(70 * G, "llama3.3", downloads=9, likes=900, createdAt="2025-01-01"),
            "lab/small": told(2 * G, "apache-2.0", downloads=200, likes=5, createdAt="2026-05-01", pipeline_tag="image-text-to-text"),
            "lab/coded": {"tags": ["custom_code"]},
        }
        yield started


def ids(server: HubServer, **asked: Any) -> list[str]:
    return [model.id for model in HubModels(server.address).search(Search(**asked)).models]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"task": None}, ["lab/small", "acme/small", "acme/large"]),
        ({}, ["acme/small", "acme/large"]),
        ({"sort": SortBy.LIKES}, ["acme/large", "acme/small"]),
        ({"task": None, "sort": SortBy.NEWEST}, ["lab/small", "acme/small", "acme/large"]),
        ({"task": Task.IMAGE_TEXT}, ["lab/small"]),
        ({"text": "LARGE"}, ["acme/large"]),
        ({"author": "lab", "task": None}, ["lab/small"]),
        ({"licence": "llama3.3"}, ["acme/large"]),
        ({"max_parameters": 8 * G, "task": None}, ["lab/small", "acme/small"]),
        ({"min_parameters": 2 * G, "max_parameters": 8 * G, "task": None}, ["lab/small"]),
        ({"text": "nothing of that name"}, []),
    ],
    ids=str,
)
def test_a_search_filters_and_sorts(server: HubServer, asked: dict[str, Any], found: list[str]) -> None:
    assert ids(server, **asked) == found


def test_a_hub_that_knows_no_bounds_of_size_is_filtered_here(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.models["acme/small"].pop("safetensors")
    monkeypatch.setattr("tests.hub_server._size", lambda _: 0)
    assert ids(server, max_parameters=8 * G, task=None) == ["lab/small"]


def test_what_a_search_tells_of_a_model(server: HubServer) -> None:
    server.gated.add("acme/small")
    [model] = HubModels(server.address).search(Search(text="acme/small")).models
    assert (model.licence, model.parameters, model.gated, model.downloads, model.task) == ("apache-2.0", G, True, 50, "text-generation")


def test_pages_follow_one_another_and_no_address_but_the_hub_s_is_asked(server: HubServer) -> None:
    asked = HubModels(server.address)
    first = asked.search(Search(task=None, limit=2))
    assert ([model.id for model in first.models], first.cursor) == (["lab/small", "acme/small"], "2")
    second = asked.search(Search(task=None, limit=2, cursor=first.cursor or ""))
    assert ([model.id for model in second.models], second.cursor) == (["acme/large"], None)
    server.next_at = "http://localhost:9"
    with pytest.raises(Unavailable, match="another host"):
        asked.search(Search(task=None, limit=2), token="hf_right")


def look(server: HubServer, repo: str = "acme/small", **given: Any) -> Looked:
    return HubModels(server.address, **given).look(repo)


def test_a_look_lists_what_would_come(server: HubServer) -> None:
    looked = look(server)
    assert (looked.commit, looked.config, looked.scan.objection) == (COMMIT, {"model_type": "llama"}, None)
    assert [file.path for file in looked.scan.wanted] == [
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    weights = looked.scan.wanted[2]
    assert (weights.size, len(weights.sha256 or ""), weights.url) == (
        7, 64, f"{server.address}/acme/small/resolve/{COMMIT}/model.safetensors"
    )  # fmt: skip
    assert not [path for path in server.asked if path.endswith((".safetensors", "tokenizer.json"))]


def test_a_model_that_wants_to_run_code_of_its_own_is_stopped(server: HubServer) -> None:
    scan = look(server, "lab/coded").scan
    assert scan.objection is not None
    assert scan.objection.code == "remote_code"
    with pytest.raises(Invalid, match="code of its own"):
        scan.check()


def test_a_gated_model_is_explained_with_what_to_do(server: HubServer) -> None:
    server.gated.add("acme/small")
    closed = look(server)
    assert closed.config is None
    assert closed.scan.objection is not None
    assert closed.scan.objection.code == "gated_model"
    assert f"Ask for access at {server.address}/acme/small" in closed.scan.objection.message
    opened = look(server, token="hf_right")
    assert opened.scan.objection is None
    assert [finding.code for finding in opened.scan.findings if "let people in" in finding.message] == ["gated"]


def test_who_fetches_a_private_model_reads_who_else_can_use_it_then(server: HubServer) -> None:
    assert look(server).scan.findings == ()
    server.models["acme/small"]["private"] = True
    [found] = look(server, token="hf_right").scan.findings
    assert (found.code, "everybody on this studio can train on it" in found.message) == ("shared", True)


def test_a_hub_that_was_asked_too_often_says_for_how_long(server: HubServer) -> None:
    server.busy = ["55", "200", "soon"]
    for words in ("in 55 s", "in 4 min", "in some minutes"):
        with pytest.raises(Unavailable, match=words) as refused:
            look(server)
        assert refused.value.code == "hub_busy"


def test_what_is_no_name_asks_nobody(server: HubServer) -> None:
    for name in ("small", "../etc/passwd", "a/b/c", "", "http://127.0.0.1/x", "a/b--c", "a/b..c"):
        with pytest.raises(Invalid, match="organisation/name"):
            look(server, name)
    assert server.asked == []


@pytest.mark.parametrize("name", ["a--b/c", "../x", "small", "a/b/c", "http://127.0.0.1/x"])
def test_a_hub_that_calls_a_model_what_is_no_name_is_not_followed(server: HubServer, name: str) -> None:
    server.models["acme/small"]["id"] = name
    with pytest.raises(Invalid, match="is no name") as refused:
        look(server)
    assert refused.value.code == "unknown_model"


def test_what_is_not_there_is_said(server: HubServer) -> None:
    with pytest.raises(NotFound, match="has no model 'acme/none'") as refused:
        look(server, "acme/none", token="hf_secret")
    assert "hf_secret" not in refused.value.message


def test_without_the_net_or_offline_a_search_says_so(server: HubServer) -> None:
    with pytest.raises(Unavailable, match=r"cannot be asked just now"):
        HubModels("http://127.0.0.1:9").search(Search())
    with pytest.raises(Unavailable, match=r"HF_HUB_OFFLINE is set.*Give a folder"):
        HubModels(server.address, is_offline=True).search(Search())
    assert server.asked == []


@pytest.mark.parametrize("answer", [b"", b"<html>", b"null", b"{}", b'["x", {"id": 3}, {}]', b"[" * 200_000, b"\xff"], ids=range(7))
def test_an_answer_that_makes_no_sense_ends_in_words(server: HubServer, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setattr("tests.hub_server.HubHandler._json", lambda self, *_: self._send(answer, {}, head=False, is_file=False))
    try:
        assert ids(server) == []
    except StudioError as refused:
        assert isinstance(refused, Unavailable)  # noqa: PT017 - either is an answer in words
