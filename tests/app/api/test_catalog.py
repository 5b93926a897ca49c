"""REST of the catalogue: the list with its filters, one model, the four questions, and that it needs a key."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.domain.devices import Device, as_facts
from app.services.studio import Studio
from tests.app.api.test_rest import client, owner, studio
from tests.app.api.test_workers import add_worker

__all__ = ["client", "owner", "studio"]
CATALOG = "/api/v1/catalog"


def slugs(client: TestClient, **query: Any) -> list[str]:
    answer = client.get(CATALOG, params=query)
    assert answer.status_code == 200, answer.text
    return [one["slug"] for one in answer.json()["data"]]


def test_the_catalogue_is_listed_and_narrowed(client: TestClient) -> None:
    assert len(slugs(client)) == 37
    assert slugs(client, size="tiny", licence="gemma") == ["gemma-3-1b-it"]
    assert slugs(client, language="Ukrainian", task="tools", q="phi") == ["phi-4-mini-instruct"]
    assert slugs(client, language="german") == slugs(client, language="German") != []
    assert slugs(client, fits=True) == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"size": "huge"}, "size"),
        ({"task": "cooking"}, "task"),
        ({"sized": "1"}, "sized"),
        ({"licence": "nope"}, "licence"),
        ({"language": "Klingon"}, "language"),
    ],
)
def test_a_filter_that_means_nothing_is_named(client: TestClient, query: dict[str, str], param: str) -> None:
    answer = client.get(CATALOG, params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)


def test_a_model_comes_with_its_measures_and_its_licence(client: TestClient) -> None:
    found = client.get(f"{CATALOG}/gpt-oss-20b").json()
    assert (found["parameters"], found["active_parameters"], found["approximate"]) == (20_914_757_184, 3_608_307_264, False)
    assert (found["measures"]["experts"], found["measures"]["active_experts"], found["measures"]["lora_parameters"]) == (32, 4, 7_962_624)
    assert (found["licence"]["id"], found["licence"]["commercial"], found["is_here"]) == ("apache-2.0", True, False)
    assert [found["fits"][way]["verdict"] for way in ("qlora", "lora")] == ["no", "unknown"]


def test_a_model_that_nobody_has_seen_has_no_measures(client: TestClient) -> None:
    found = client.get(f"{CATALOG}/ternary-bonsai-8b").json()
    assert (found["measures"], found["fits"], found["approximate"], found["parameters"]) == (None, None, True, 8_000_000_000)


def test_a_model_that_is_not_there_is_not_found(client: TestClient) -> None:
    answer = client.get(f"{CATALOG}/nothing")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_what_fits_is_judged_by_the_workers_devices(client: TestClient, studio: Studio) -> None:
    device = Device(name="NVIDIA L4", kind="gpu", total_bytes=24 * 10**9, used_bytes=0, uuid=None, utilisation=None, ours_bytes=None)
    add_worker(studio, "bench", facts=as_facts([device]))
    fits = client.get(f"{CATALOG}/qwen3-4b").json()["fits"]
    assert fits["qlora"]["verdict"] == "yes"
    assert 2e9 < fits["qlora"]["takes_bytes"] < fits["lora"]["takes_bytes"] < 24e9
    assert "NVIDIA L4 has 24.0 GB" in fits["qlora"]["reason"]
    assert "qwen3-4b" in slugs(client, fits=True)


@pytest.mark.parametrize(
    ("answers", "pick"),
    [
        ({"reasoning": True}, "phi-4-mini-instruct"),
        ({"multilingual": True}, "gemma-3-4b-it"),
        ({"tools": True}, "llama-3.2-3b-instruct"),
        ({"prefer": "smallest"}, "qwen3.5-0.8b"),
        ({"prefer": "newest"}, "ternary-bonsai-1.7b"),
        ({}, "qwen3-1.7b"),
    ],
)  # fmt: skip
def test_the_questions_lead_to_a_model(client: TestClient, answers: dict[str, Any], pick: str) -> None:
    choice = client.get(f"{CATALOG}/choose", params=answers).json()
    assert choice["model"]["slug"] == pick
    assert choice["runner_up"]["family"] != choice["model"]["family"]
    assert choice["reasons"]
    assert choice["unmet"] == []


@pytest.mark.parametrize("path", ["", "/choose", "/qwen3-4b"])
def test_the_catalogue_wants_a_key(client: TestClient, path: str) -> None:
    assert client.get(CATALOG + path, headers={"Authorization": ""}).status_code == 401
