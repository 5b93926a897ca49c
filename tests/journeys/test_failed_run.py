"""A run that fails is explained, and the fix it offers makes it succeed."""

from __future__ import annotations

from tools.running import RunningStudio

SETTINGS = {"max_steps": 2, "batch_size": 8, "eval_every_steps": 2, "max_length": 16, "device": "cpu"}
"""No row of the examples has its answer within so few tokens."""


def test_the_fix_of_a_failed_run_makes_it_succeed(studio: RunningStudio, dataset_id: str) -> None:
    failed = studio.finish(studio.launch(name="too short", base_model="hone-starter", dataset_id=dataset_id, settings=SETTINGS))
    found = failed["diagnosis"]
    assert (failed["status"], found["code"], found["see"]["href"]) == ("failed", "no_trained_tokens", f"/datasets/{dataset_id}")
    [fix] = found["fixes"]
    assert fix["settings"]["max_length"] > SETTINGS["max_length"]
    with studio.rest as rest:
        clone = rest.post(f"/api/v1/runs/{failed['id']}/clone", json={"fix": fix["id"]}).raise_for_status().json()["id"]
    mended = studio.finish(clone)
    assert (mended["status"], mended["cloned_from"], mended["diagnosis"]) == ("succeeded", failed["id"], None), mended["reason"]
