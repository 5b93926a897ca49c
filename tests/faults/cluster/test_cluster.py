"""A team's studio, on one machine but as if on several: PostgreSQL, Redis, a shared store, the web, and workers with a home each."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from app.db import CheckpointRow
from app.db.session import make_engine, reading
from tests.conftest import ROOT
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.results import Recorder
from tests.faults.servers import PostgreSql, Redis
from tests.journeys.conftest import example_rows, write_jsonl
from tests.workers.conftest import tiny_base
from tools.running import HONE, RunningStudio, processes_of, running_studio

__all__ = ["tiny_base"]
SETTINGS = {
    "max_steps": 1000,
    "checkpoint_every_steps": 10,
    "batch_size": 2,
    "max_length": 128,
    "rank": 4,
    "precision": "fp32",
    "device": "cpu",
}
LEAVES_SECONDS, CHECKPOINT_SECONDS = 150.0, 150.0


@dataclass
class Cluster:
    """The studio, and its workers by the names of their machines."""

    folder: Path
    environment: dict[str, str]
    studio: RunningStudio
    workers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def start_worker(self, machine: str, queue: str) -> None:
        """Start a worker with a home of its own, and wait until it is ready."""
        command: list[str | Path] = [HONE, "worker", "--queue", queue, "--home", self.folder / machine, "--json"]
        told = os.environ | self.environment | {"PYTHONPATH": str(ROOT)}
        with (self.folder / f"{machine}.log").open("ab") as log:
            worker = subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        assert worker.stdout
        self.workers[machine] = worker
        self.names[json.loads(worker.stdout.readline())["ready"]] = machine

    def launch(self, dataset_id: str, base: Path) -> str:
        """Launch a run of some seconds."""
        return self.studio.launch(name="orders", base_model=str(base), dataset_id=dataset_id, settings=SETTINGS)

    def wait_for_checkpoint(self, run_id: str, *, attempt: int) -> None:
        """Wait until the store has a checkpoint that an attempt at a run has made, so that another machine can take it up."""
        engine = make_engine(self.environment["HONE_DATABASE_URL"])
        of_attempt = (CheckpointRow.run_id == run_id, CheckpointRow.lease_token == attempt, CheckpointRow.artifact_id.is_not(None))

        def is_stored() -> bool:
            with reading(engine) as session:
                return session.scalar(select(CheckpointRow.id).where(*of_attempt).limit(1)) is not None

        assert Fleet.wait_for(is_stored, CHECKPOINT_SECONDS)
        engine.dispose()

    def holder(self, run_id: str) -> str:
        """Return the machine that has a run."""
        with self.studio.rest as rest:
            workers = rest.get("/api/v1/workers").raise_for_status().json()["data"]
        return next(self.names[worker["id"]] for worker in workers if run_id in worker["run_ids"])

    def write_log(self, machine: str, run_id: str, line: str) -> None:
        """Write a line as the trainer there would, and wait until the web shows it."""
        with (self.folder / machine / "runs" / run_id / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
        with self.studio.rest as rest:
            assert Fleet.wait_for(lambda: line in rest.get(f"/api/v1/runs/{run_id}/log").text)

    def lose(self, machine: str) -> None:
        """End a machine as a power cut does: the worker, and all that it has started."""
        worker = self.workers.pop(machine)
        for process in [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        let_go(worker)

    def send_away(self, machine: str) -> int:
        """Tell a worker to leave, and return its exit code."""
        worker = self.workers.pop(machine)
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(LEAVES_SECONDS)
        let_go(worker)
        return code

    def history(self, run_id: str) -> list[dict[str, Any]]:
        """Return what happened to a run."""
        with self.studio.rest as rest:
            found: list[dict[str, Any]] = rest.get(f"/api/v1/runs/{run_id}/events?limit=200").raise_for_status().json()["data"]
            return found


def let_go(worker: subprocess.Popen[str]) -> None:
    worker.wait()
    if worker.stdout:
        worker.stdout.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A studio with two machines that train and one that reads files."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as ended:
        server, bell = ended.enter_context(closing(PostgreSql())), ended.enter_context(closing(Redis(folder)))
        environment = {
            "HONE_DATABASE_URL": server.url, "HONE_REDIS_URL": bell.url, "HONE_STORAGE_URL": (folder / "store").as_uri(),
            "HONE_LEASE_SECONDS": "4", "HONE_TRAINER_THREADS": "1",
        }  # fmt: skip
        studio = ended.enter_context(running_studio(folder / "web", HONE_WORKERS="false", **environment))
        made = Cluster(folder, environment, studio)
        ended.callback(lambda: [made.send_away(machine) for machine in list(made.workers)])
        for machine, queue in (("reader", "cpu"), ("one", "gpu"), ("two", "gpu")):
            made.start_worker(machine, queue)
        yield made
    assert [line for machine in ("web", "reader", "one", "two") for line in processes_of(folder / machine)] == []


@pytest.fixture(scope="module")
def dataset_id(cluster: Cluster) -> str:
    """Rows that were uploaded over REST and read by a worker elsewhere."""
    return str(cluster.studio.upload(write_jsonl(cluster.folder / "orders.jsonl", example_rows(40)))["id"])


def test_a_run_goes_on_at_another_machine_when_its_own_leaves_or_is_lost(
    cluster: Cluster, dataset_id: str, tiny_base: Path, record: Recorder
) -> None:
    run_id = cluster.launch(dataset_id, tiny_base)
    cluster.wait_for_checkpoint(run_id, attempt=1)
    leaving = cluster.holder(run_id)
    cluster.write_log(leaving, run_id, "the last word of another machine")
    assert cluster.send_away(leaving) == 0
    cluster.wait_for_checkpoint(run_id, attempt=2)
    assert "lost" not in {event["type"] for event in cluster.history(run_id)}
    cluster.lose(cluster.holder(run_id))
    cluster.start_worker(leaving, "gpu")
    run = cluster.studio.finish(run_id)
    assert (run["status"], run["attempt"], run["step"]) == ("succeeded", 3, SETTINGS["max_steps"]), run["reason"]
    told = cluster.history(run_id)
    assert [event["type"] for event in told if event["type"] in {"interrupted", "lost"}] == ["interrupted", "lost"]
    starts = [event["data"]["step"] for event in told if event["type"] == "started"]
    assert 0 == starts[0] < starts[1] < starts[2], "it began anew instead of going on from the checkpoint"
    check_outcome(cluster, run)
    record("cluster", n=1, result={"went_on_from_steps": starts[1:]}, database="postgresql")


def check_outcome(cluster: Cluster, run: dict[str, Any]) -> None:
    """See that what was learned can be had, and that the log still tells what was written on another machine."""
    with cluster.studio.rest as rest:
        files = zipfile.ZipFile(io.BytesIO(rest.get(f"/api/v1/runs/{run['id']}/adapter.zip").raise_for_status().content))
        log = rest.get(f"/api/v1/runs/{run['id']}/log").raise_for_status().text
    assert "adapter_model.safetensors" in files.namelist()
    assert "the last word of another machine" in log
