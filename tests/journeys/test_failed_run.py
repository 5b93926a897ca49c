"""A run that would teach nothing is not launched; with the fix that is offered it is, and it succeeds."""

from __future__ import annotations

from tests.journeys.test_hub_base import TOO_SHORT
from tools.running import RunningStudio


def test_a_run_that_would_learn_nothing_is_launched_with_the_fix_alone(studio: RunningStudio, dataset_id: str) -> None:
    wanted = {"name": "too short", "base_model": "hone-starter", "dataset_id": dataset_id}
    with studio.rest as rest:
        refused = rest.post("/api/v1/runs", json=wanted | {"settings": TOO_SHORT})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (422, "preflight_failed", "settings.max_length")
    [fault] = error["data"]["faults"]
    [fix] = fault["fixes"]
    assert (fault["code"], fix["id"]) == ("answers_cut", "longer")
    run = studio.finish(studio.launch(**wanted, settings=TOO_SHORT | fix["settings"]))
    assert run["status"] == "succeeded", run["reason"]
