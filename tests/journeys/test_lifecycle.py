"""`hone up`: ready, ended, killed, started twice, and a run that outlives its studio."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.journeys.conftest import example_rows, write_jsonl
from tests.waiting import until
from tools.running import HONE, RunningStudio, kill, make_token, processes_of, start, stop


def is_free(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(address).port or 0)) != 0


def losses_of(studio: RunningStudio, run_id: str) -> list[int]:
    with studio.rest as rest:
        return [point["step"] for point in rest.get(f"/api/v1/runs/{run_id}/metrics?name=train/loss").json()["data"]]


def test_a_second_start_on_the_same_home_is_refused(studio: RunningStudio) -> None:
    second = subprocess.run([HONE, "up", "--home", studio.home, "--port", "0"], capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert "already runs" in second.stderr


def test_a_key_can_be_made_beside_a_running_studio(studio: RunningStudio) -> None:
    key = make_token(studio.home, "another")
    answer = httpx.get(f"{studio.address}/api/v1/runs", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    assert answer.status_code == 200


def test_others_can_reach_it_only_when_somebody_can_sign_in(tmp_path: Path) -> None:
    command = [str(HONE), "up", "--home", str(tmp_path / "home"), "--host", "0.0.0.0", "--port", "0", "--no-workers"]  # noqa: S104 - what must be refused
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert "hone token create" in refused.stderr


def test_a_taken_port_is_said_so(studio: RunningStudio, tmp_path: Path) -> None:
    port = str(urlsplit(studio.address).port)
    refused = subprocess.run([HONE, "up", "--home", tmp_path, "--port", port], capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert f"Port {port}" in refused.stderr


def test_a_child_that_dies_is_started_again_and_sigint_ends_everything_within_ten_seconds(tmp_path: Path) -> None:
    studio = start(tmp_path / "home", {"HONE_LOG_FORMAT": "json"})
    assert httpx.get(f"{studio.address}/readyz", trust_env=False).json()["status"] == "ok"
    assert len(processes_of(studio.home)) >= 5
    child = int(subprocess.check_output(["pgrep", "-P", str(studio.process.pid), "-f", "workers.supervisor --queue cpu"]).split()[0])
    os.kill(child, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{child}").exists())
    studio.wait_for("/readyz", lambda ready: ready["status"] == "ok", 60)
    assert studio.upload(write_jsonl(tmp_path / "rows.jsonl", example_rows(10)))["rows"] == 10
    os.killpg(studio.process.pid, signal.SIGINT)
    assert studio.process.wait(10) == 0
    kill(studio)
    assert processes_of(studio.home) == []
    assert is_free(studio.address)
    lines = [json.loads(line) for line in (studio.home / "logs" / "hone.log").read_text().splitlines()]
    assert {line["part"] for line in lines} == {"up", "web", "cpu-worker", "gpu-worker", "inference"}


def test_a_killed_studio_leaves_no_process_and_its_run_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    home = tmp_path / "home"
    studio = start(home)
    dataset = studio.upload(write_jsonl(tmp_path / "rows.jsonl", example_rows(80)))
    settings = {"max_steps": 1000, "checkpoint_every_steps": 5, "eval_every_steps": 1000, "batch_size": 8}
    run_id = studio.launch(name="long", base_model="hone-starter", dataset_id=dataset["id"], settings=settings)
    studio.wait_for(f"/api/v1/runs/{run_id}", lambda run: run["step"] >= 6, 240)
    kill(studio)
    until(lambda: processes_of(home) == [], 30)
    again = start(home)
    try:
        run = again.wait_for(f"/api/v1/runs/{run_id}", lambda run: run["status"] == "running" and run["attempt"] == 2)
        assert run["step"] >= 5
        with again.rest as rest:
            assert rest.post(f"/api/v1/runs/{run_id}/stop").status_code == 200
        stopped = again.finish(run_id, 120)
        assert stopped["status"] == "stopped"
        assert stopped["model"].startswith("ft:hone-starter:")
        assert losses_of(again, run_id) == list(range(1, stopped["step"] + 1))
    finally:
        assert stop(again) == 0
