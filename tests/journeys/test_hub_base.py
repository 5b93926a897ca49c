"""A base from the Hub through the whole studio: fetched, trained, paused, resumed without the Hub, and asked beside its adapter."""

from __future__ import annotations

from pathlib import Path

from openai import OpenAI

from tests.hub_server import hub
from tests.journeys.conftest import example_rows, write_jsonl
from tests.workers.conftest import make_base
from tools.running import running_studio


def test_a_base_from_the_hub_is_trained_resumed_and_asked(tmp_path: Path) -> None:
    good = make_base(tmp_path / "good")
    settings = {"max_steps": 300, "batch_size": 4, "eval_every_steps": 300, "precision": "fp32"}
    with hub({"lab/good": good}) as server:
        environment = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        with running_studio(tmp_path / "home", **environment) as studio:
            dataset = studio.upload(write_jsonl(tmp_path / "rows.jsonl", example_rows(40)))
            run_id = studio.launch(name="from the hub", base_model="lab/good", dataset_id=dataset["id"], settings=settings)
            path = f"/api/v1/runs/{run_id}"
            started = studio.wait_for(path, lambda run: run["step"] >= 2, 120)
            # What only the base decides is known now.
            assert started["spec"]["settings"]["learning_rate"] == 0.002
            with studio.rest as rest:
                assert rest.post(f"{path}/pause").status_code == 200
                paused = studio.wait_for(path, lambda run: run["status"] == "paused", 60)
                server.repos.clear()
                assert rest.post(f"{path}/resume").status_code == 200
                studio.wait_for(path, lambda run: run["step"] > paused["step"], 120)
                assert rest.post(f"{path}/stop").status_code == 200
            run = studio.finish(run_id, 120)
            assert run["status"] == "stopped", run["reason"]
            with OpenAI(base_url=f"{studio.address}/v1", api_key=studio.key) as client:
                assert {"lab/good", run["model"]} <= {model.id for model in client.models.list()}
                for model in ("lab/good", run["model"]):
                    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], max_tokens=3)
                    assert answer.usage is not None
