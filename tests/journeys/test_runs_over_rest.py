"""Runs over REST, as scripts use them: launch, watch, cancel, take away, chat; the Hub's tests pause, resume and stop one."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tools.running import RunningStudio

SHORT = {"max_steps": 6, "batch_size": 8, "eval_every_steps": 6}


def test_a_run_reports_what_the_contract_lists_gives_its_adapter_and_answers(studio: RunningStudio, dataset_id: str) -> None:
    tuned = studio.finish(studio.launch(name="orders v1", base_model="hone-starter", dataset_id=dataset_id, settings=SHORT))
    assert tuned["status"] == "succeeded", tuned["reason"]
    check_reports(studio, tuned)
    check_adapter(studio, tuned)
    check_answers(studio, tuned["model"])


def check_reports(studio: RunningStudio, tuned: dict[str, Any]) -> None:
    assert (tuned["step"], tuned["total_steps"], tuned["attempt"]) == (6, 6, 1)
    assert tuned["model"].startswith("ft:hone-starter:default:orders-v1:")
    assert "auto" not in {tuned["spec"]["settings"][name] for name in ("learning_rate", "alpha", "eval_every_steps")}
    with studio.rest as rest:
        losses = rest.get(f"/api/v1/runs/{tuned['id']}/metrics", params={"name": "train/loss"}).json()["data"]
        names = {p["name"] for p in rest.get(f"/api/v1/runs/{tuned['id']}/metrics").json()["data"]}
        events = rest.get(f"/api/v1/runs/{tuned['id']}/events").json()["data"]
    assert [p["step"] for p in losses] == [1, 2, 3, 4, 5, 6]
    wanted = {"train/loss", "eval/loss", "eval/exact_match", "train/learning_rate", "train/grad_norm", "train/tokens_per_second"}
    assert wanted | {"memory/peak_bytes"} <= names
    kinds = [event["type"] for event in events]
    assert kinds[0] == "queued"
    assert {"started", "checkpoint", "succeeded"} <= set(kinds)


def check_adapter(studio: RunningStudio, tuned: dict[str, Any]) -> None:
    with studio.rest as rest:
        content = rest.get(f"/api/v1/runs/{tuned['id']}/adapter.zip").raise_for_status().content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert set(archive.namelist()) == {"adapter_model.safetensors", "adapter_config.json", "README.md"}
        config = json.loads(archive.read("adapter_config.json"))
        card = archive.read("README.md").decode()
    assert config["base_model_name_or_path"] == "hone-starter"
    assert config["revision"].startswith("sha256:")
    assert "orders" in card
    assert "version 1" in card


def check_answers(studio: RunningStudio, model: str) -> None:
    """Check that the official client lists models and streams from the tuned one."""
    with OpenAI(base_url=f"{studio.address}/v1", api_key=studio.key) as client:
        assert {"hone-starter", model} <= {listed.id for listed in client.models.list()}
        chunks = list(
            client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "I want to cancel order 5."}], temperature=0, max_tokens=5,
                stream=True, stream_options={"include_usage": True},
            )
        )  # fmt: skip
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in {"stop", "length"}
        usage = chunks[-1].usage
        assert usage is not None
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert 1 <= usage.completion_tokens <= 5


def test_a_run_is_cancelled_and_one_that_waits_for_its_turn_can_be_paused_and_cancelled(studio: RunningStudio, dataset_id: str) -> None:
    settings = SHORT | {"max_steps": 1000, "eval_every_steps": 1000}
    busy = studio.launch(name="busy", base_model="hone-starter", dataset_id=dataset_id, settings=settings)
    with studio.rest as rest:
        assert rest.delete(f"/api/v1/datasets/{dataset_id}").status_code == 409
        studio.wait_for(f"/api/v1/runs/{busy}", lambda run: run["status"] != "queued")
        waiting = studio.launch(name="waiting", base_model="hone-starter", dataset_id=dataset_id, settings=SHORT)
        path = f"/api/v1/runs/{waiting}"
        assert rest.get(path).json()["waiting_for"]
        assert rest.post(f"{path}/stop").status_code == 409
        assert rest.post(f"{path}/pause").json()["status"] == "paused"
        assert rest.post(f"{path}/cancel").json()["status"] == "cancelled"
        path = f"/api/v1/runs/{busy}"
        studio.wait_for(path, lambda run: run["step"] >= 2)
        assert rest.post(f"{path}/cancel").json()["status"] == "cancelling"
        cancelled = studio.wait_for(path, lambda run: run["status"] == "cancelled")
        assert cancelled["model"] is None
        assert rest.get(f"{path}/adapter.zip").status_code == 404
        assert rest.post(f"{path}/resume").status_code == 409


@pytest.mark.material
def test_a_foreign_base_trains_by_its_folder_and_says_that_it_has_no_template(
    studio: RunningStudio, dataset_id: str, material: Path
) -> None:
    folder = str(material / "models" / "stories260k")
    run = studio.finish(studio.launch(name="stories", base_model=folder, dataset_id=dataset_id, settings=SHORT | {"max_length": 256}))
    assert run["status"] == "succeeded", run["reason"]
    with studio.rest as rest:
        events = rest.get(f"/api/v1/runs/{run['id']}/events").json()["data"]
        config = zipfile.ZipFile(io.BytesIO(rest.get(f"/api/v1/runs/{run['id']}/adapter.zip").content)).read("adapter_config.json")
    assert any("template" in event["message"] for event in events)
    assert json.loads(config)["base_model_name_or_path"] == "stories260k"
    with OpenAI(base_url=f"{studio.address}/v1", api_key=studio.key) as client:
        answer = client.chat.completions.create(model=run["model"], messages=[{"role": "user", "content": "Hello"}], max_tokens=4)
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 4
