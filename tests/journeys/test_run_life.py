"""The whole life of a run over REST: trained, written on, asked, cloned, and deleted with every byte of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.waiting import files_under, until
from tools.running import RunningStudio


def kept(home: Path) -> dict[Path, int]:
    """Return what lies in a studio, but for what a machine makes of a dataset's rows when it first shows them."""
    return {path: size for path, size in files_under(home / "artifacts", home / "runs").items() if path.parent.name != "pages"}


def ended(run: dict[str, Any]) -> bool:
    return run["status"] in {"succeeded", "failed", "stopped", "cancelled"}


def launch(rest: httpx.Client, dataset_id: str, **more: Any) -> str:
    body = {"name": "orders", "base_model": "hone-starter", "dataset_id": dataset_id, "settings": {"max_steps": 4, "rank": 4}}
    made = rest.post("/api/v1/runs", json=body | more)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def test_a_run_is_trained_written_on_cloned_and_deleted_with_every_byte(studio: RunningStudio, dataset_id: str) -> None:
    before = kept(studio.home)
    with studio.rest as rest:
        run_id = launch(rest, dataset_id, tags=["Journey"], notes="first")
        assert rest.delete(f"/api/v1/runs/{run_id}").status_code == 409
        assert rest.patch(f"/api/v1/runs/{run_id}", json={"name": "renamed while it runs"}).status_code == 200
        run = studio.wait_for(f"/api/v1/runs/{run_id}", ended)
        assert (run["status"], run["name"], run["tags"]) == ("succeeded", "renamed while it runs", ["journey"])
        # Files go once it is entered that they are to go: the adapter lies in the store, and is gone from the run's folder after that.
        until(lambda: not [path for path in kept(studio.home) if path.parent.name.startswith("adapter")])
        until(lambda: run["disk_bytes"] == sum(size for path, size in kept(studio.home).items() if path not in before))

        ask = {"model": run["model"], "messages": [{"role": "user", "content": "I want to pay order 7."}], "max_tokens": 4}
        assert rest.post("/v1/chat/completions", json=ask).status_code == 200

        clone = launch(rest, dataset_id, cloned_from=run_id)
        rest.post(f"/api/v1/runs/{clone}/cancel").raise_for_status()
        assert studio.wait_for(f"/api/v1/runs/{clone}", ended)["cloned_from"] == run_id
        assert rest.delete(f"/api/v1/runs/{run_id}/checkpoints").status_code == 204
        until(lambda: not files_under(studio.home / "runs" / run_id / "checkpoints"))
        for gone in (run_id, clone):
            assert rest.delete(f"/api/v1/runs/{gone}").status_code == 204
        assert rest.post("/v1/chat/completions", json=ask).status_code == 404
    # What earlier tests have left may be on its way out, so there may be less than before.
    until(lambda: kept(studio.home).keys() <= before.keys())
