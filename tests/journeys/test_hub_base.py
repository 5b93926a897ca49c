"""Bases from the Hub through the whole studio: fetched, trained, paused, resumed without the Hub, asked, and mended after a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from openai import OpenAI

from tests.hub_server import HubServer, hub
from tests.journeys.conftest import example_rows, write_jsonl
from tests.workers.conftest import make_base
from tools.running import RunningStudio, running_studio

TOO_SHORT = {"max_steps": 2, "batch_size": 8, "eval_every_steps": 2, "max_length": 16, "device": "cpu"}
"""No row of the examples has its answer within so few tokens."""


class Reached(NamedTuple):
    """A studio with rows, and the Hub it fetches from."""

    server: HubServer
    studio: RunningStudio
    dataset_id: str


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """A studio that reaches a Hub with two bases."""
    folder = tmp_path_factory.mktemp("hub")
    good = make_base(folder / "good")
    with hub({"lab/good": good, "lab/other": good}) as server:
        environment = {"HF_ENDPOINT": server.address, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        with running_studio(folder / "home", **environment) as studio:
            yield Reached(server, studio, str(studio.upload(write_jsonl(folder / "rows.jsonl", example_rows(40)))["id"]))


def test_a_base_from_the_hub_is_trained_resumed_and_asked(reached: Reached) -> None:
    server, studio, dataset_id = reached
    settings = {"max_steps": 1000, "batch_size": 4, "eval_every_steps": 1000, "precision": "fp32"}
    run_id = studio.launch(name="from the hub", base_model="lab/good", dataset_id=dataset_id, settings=settings)
    path = f"/api/v1/runs/{run_id}"
    started = studio.wait_for(path, lambda run: run["step"] >= 2)
    # What only the base decides is known now.
    assert started["spec"]["settings"]["learning_rate"] == 0.002
    with studio.rest as rest:
        assert rest.post(f"{path}/pause").json()["status"] == "pausing"
        paused = studio.wait_for(path, lambda run: run["status"] == "paused")
        assert rest.post(f"{path}/stop").status_code == 409
        server.repos.pop("lab/good")
        assert rest.post(f"{path}/resume").json()["status"] == "queued"
        studio.wait_for(path, lambda run: run["step"] > paused["step"])
        assert rest.post(f"{path}/stop").status_code == 200
    run = studio.finish(run_id)
    assert run["status"] == "stopped", run["reason"]
    with OpenAI(base_url=f"{studio.address}/v1", api_key=studio.key) as client:
        assert {"lab/good", run["model"]} <= {model.id for model in client.models.list()}
        for model in ("lab/good", run["model"]):
            answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], max_tokens=3)
            assert answer.usage is not None


@pytest.mark.slow
def test_the_fix_of_a_failed_run_makes_it_succeed(reached: Reached) -> None:
    _, studio, dataset_id = reached
    # Nobody has its tokenizer before the run has fetched it.
    failed = studio.finish(studio.launch(name="too short", base_model="lab/other", dataset_id=dataset_id, settings=TOO_SHORT))
    found = failed["diagnosis"]
    assert (failed["status"], found["code"], found["see"]["href"]) == ("failed", "answers_cut", f"/datasets/{dataset_id}")
    [fix] = found["fixes"]
    assert fix["settings"]["max_length"] > TOO_SHORT["max_length"]
    with studio.rest as rest:
        clone = rest.post(f"/api/v1/runs/{failed['id']}/clone", json={"fix": fix["id"]}).raise_for_status().json()["id"]
    mended = studio.finish(clone)
    assert (mended["status"], mended["cloned_from"], mended["diagnosis"]) == ("succeeded", failed["id"], None), mended["reason"]
