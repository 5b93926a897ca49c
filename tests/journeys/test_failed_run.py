"""A run that would teach nothing is not launched; where only its trainer could see that, it fails. The fix that is offered helps both."""

from __future__ import annotations

from pathlib import Path

from tests.hub_server import hub
from tests.journeys.conftest import example_rows, write_jsonl
from tests.workers.conftest import make_base
from tools.running import RunningStudio, running_studio

SETTINGS = {"max_steps": 2, "batch_size": 8, "eval_every_steps": 2, "max_length": 16, "device": "cpu"}
"""No row of the examples has its answer within so few tokens."""


def test_a_run_that_would_learn_nothing_is_launched_with_the_fix_alone(studio: RunningStudio, dataset_id: str) -> None:
    wanted = {"name": "too short", "base_model": "hone-starter", "dataset_id": dataset_id}
    with studio.rest as rest:
        refused = rest.post("/api/v1/runs", json=wanted | {"settings": SETTINGS})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (422, "preflight_failed", "settings.max_length")
    [fault] = error["data"]["faults"]
    [fix] = fault["fixes"]
    assert (fault["code"], fix["id"]) == ("answers_cut", "longer")
    run = studio.finish(studio.launch(**wanted, settings=SETTINGS | fix["settings"]))
    assert run["status"] == "succeeded", run["reason"]


def test_the_fix_of_a_failed_run_makes_it_succeed(tmp_path: Path) -> None:
    good = make_base(tmp_path / "good")
    with hub({"lab/good": good}) as server:
        environment = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        with running_studio(tmp_path / "home", **environment) as studio:
            dataset_id = studio.upload(write_jsonl(tmp_path / "rows.jsonl", example_rows(40)))["id"]
            # Nobody has its tokenizer before the run has fetched it.
            failed = studio.finish(studio.launch(name="too short", base_model="lab/good", dataset_id=dataset_id, settings=SETTINGS))
            found = failed["diagnosis"]
            assert (failed["status"], found["code"], found["see"]["href"]) == ("failed", "answers_cut", f"/datasets/{dataset_id}")
            [fix] = found["fixes"]
            assert fix["settings"]["max_length"] > SETTINGS["max_length"]
            with studio.rest as rest:
                clone = rest.post(f"/api/v1/runs/{failed['id']}/clone", json={"fix": fix["id"]}).raise_for_status().json()["id"]
            mended = studio.finish(clone)
    assert (mended["status"], mended["cloned_from"], mended["diagnosis"]) == ("succeeded", failed["id"], None), mended["reason"]
