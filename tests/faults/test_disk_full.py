"""R10: a full disk is a clear failure and no damage, and everything goes on once there is room.

A real studio trains on five small disks: for the store, the database, the logs, the runs and the cache of bases from the Hub. Each is
filled to the last byte in turn.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.harness.results import Recorder
from tests.faults.small_disk import FILLER, filled, small_disk
from tests.hub_server import hub
from tests.waiting import files_under, until
from tests.workers.conftest import make_base
from tools.running import RunningStudio, running_studio

SECONDS = 120.0
ROWS = "".join(
    f'{{"messages": [{{"role": "user", "content": "number {n}"}}, {{"role": "assistant", "content": "it is {n}"}}]}}\n' for n in range(40)
)
SETTINGS = {
    "max_steps": 200_000, "batch_size": 2, "max_length": 64, "rank": 4, "precision": "fp32", "device": "cpu",
    "eval_every_steps": 100_000, "checkpoint_every_steps": 100,
}  # fmt: skip
pytestmark = pytest.mark.mounts
Kept = Callable[[float], None]


class Disks:
    """Where the disks of a studio lie."""

    def __init__(self, folder: Path) -> None:
        self.home, self.database, self.bases = folder / "home", folder / "database", folder / "bases"
        self.store, self.logs, self.runs = self.home / "artifacts", self.home / "logs", self.home / "runs"


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    """Five small disks."""
    made = Disks(tmp_path_factory.mktemp("disks"))
    with ExitStack() as mounted:
        for place in (made.database, made.bases, made.store, made.logs, made.runs):
            mounted.enter_context(small_disk(place))
        yield made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base."""
    return make_base(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="module")
def studio(disks: Disks, base: Path) -> Iterator[RunningStudio]:
    """A studio on them, with a Hub."""
    with hub({"lab/tiny": base}) as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HONE_DATABASE_URL", f"sqlite:///{disks.database / 'hone.db'}")
        environment.setenv("HONE_TRAINER_THREADS", "1")
        fetching = {"HF_ENDPOINT": server.address, "HF_HOME": str(disks.bases), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        with running_studio(disks.home, **fetching) as running:
            yield running


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to upload."""
    path = tmp_path_factory.mktemp("rows") / "numbers.jsonl"
    path.write_text(ROWS)
    return path


@pytest.fixture(scope="module")
def wanted(studio: RunningStudio, rows: Path, base: Path) -> dict[str, Any]:
    """What to launch: a run that would take for ever."""
    return {"name": "for ever", "base_model": str(base), "dataset_id": studio.upload(rows)["id"], "settings": SETTINGS}


@pytest.fixture(scope="module")
def runs(studio: RunningStudio, wanted: dict[str, Any]) -> list[str]:
    """The run that trains beside the tests, which is given up by none of them."""
    return [studio.launch(**wanted)]


@pytest.fixture
def run(studio: RunningStudio, runs: list[str]) -> str:
    """A run that trains just now and has a checkpoint."""
    state(studio, runs[0], lambda run: run["status"] == "running" and run["step"] > 0)
    event(studio, runs[0], "checkpoint", after=0)
    return runs[0]


@pytest.fixture
def keep(request: pytest.FixtureRequest, record: Recorder) -> Kept:
    """Enter into the results how soon the run went on after the test's disk was full."""
    disk = re.findall(r"full_disk_of_(?:the_)?([a-z]+)", request.node.name)[0]

    def enter(seconds: float) -> None:
        record("R10", n=1, result={"disk_of": disk, "went_on_after_seconds": seconds}, database="sqlite")

    return enter


def state(studio: RunningStudio, run: str, is_reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a run's state and return the run."""
    return studio.wait_for(f"/api/v1/runs/{run}", is_reached, SECONDS)


def events(studio: RunningStudio, run: str) -> list[dict[str, Any]]:
    """Return a run's history."""
    with studio.rest as rest:
        return list(rest.get(f"/api/v1/runs/{run}/events?limit=500").raise_for_status().json()["data"])


def event(studio: RunningStudio, run: str, kind: str, *, after: int, saying: str = "") -> dict[str, Any]:
    """Wait for an event of a kind beyond the first `after` events, which says something."""
    return until(lambda: [one for one in events(studio, run)[after:] if one["type"] == kind and saying in one["message"]], SECONDS)[0]


def goes_on(studio: RunningStudio, run: str) -> float:
    """Wait until a run has made twenty more steps, and return how many seconds that took."""
    began, step = time.monotonic(), studio.wait_for(f"/api/v1/runs/{run}", lambda _: True)["step"]
    state(studio, run, lambda run: run["status"] == "running" and run["step"] > step + 20)
    return round(time.monotonic() - began, 1)


def pages_render(studio: RunningStudio, run: str) -> None:
    """See that people can look at what is there."""
    with httpx.Client(base_url=studio.address, trust_env=False, timeout=30) as browser:
        answers = {path: browser.get(path).status_code for path in ("/", "/runs", f"/runs/{run}", "/datasets", "/board", "/livez")}
    assert set(answers.values()) == {200}, answers


def refusal(answer: httpx.Response) -> str:
    """Return the words of an answer that a disk is full."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["Retry-After"]
    assert answer.json()["error"]["code"] == "disk_full", answer.text
    return str(answer.json()["error"]["message"])


def is_whole(database: Path) -> bool:
    """Return whether SQLite finds no damage."""
    connection = sqlite3.connect(database)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
    finally:
        connection.close()


@contextmanager
def while_nobody_writes(database: Path, filling: AbstractContextManager[None]) -> Iterator[None]:
    """Fill its disk between two writes of SQLite: the journal of one under way would make room for others when it ends."""
    with ExitStack() as full:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=SECONDS)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            full.enter_context(filling)
            writer.execute("ROLLBACK")
        yield


def test_a_full_disk_of_logs_costs_lines_and_nothing_else(studio: RunningStudio, run: str, disks: Disks, rows: Path, keep: Kept) -> None:
    with filled(disks.logs):
        pages_render(studio, run)
        assert studio.upload(rows)["status"] == "ready"
        keep(goes_on(studio, run))
    size = (disks.logs / "hone.log").stat().st_size
    pages_render(studio, run)
    assert (disks.logs / "hone.log").stat().st_size > size


def test_a_full_disk_of_runs_costs_checkpoints_and_then_pauses(studio: RunningStudio, run: str, disks: Disks, keep: Kept) -> None:
    before = len(events(studio, run))
    with filled(disks.runs):
        event(studio, run, "notice", after=before, saying="is full")
        goes_on(studio, run)
        pages_render(studio, run)
    event(studio, run, "checkpoint", after=len(events(studio, run)))
    with filled(disks.runs), studio.rest as rest:
        rest.post(f"/api/v1/runs/{run}/pause").raise_for_status()
        paused = state(studio, run, lambda run: run["status"] not in {"running", "pausing"})
        assert (paused["status"], paused["attempt"]) == ("paused", 1)
        assert paused["reason"].startswith(f"The disk at {disks.runs} is full")
        assert "Free some space there, then resume" in paused["reason"]
    with studio.rest as rest:
        rest.post(f"/api/v1/runs/{run}/resume").raise_for_status()
    keep(goes_on(studio, run))


def test_a_full_disk_of_the_database_refuses_writes_and_shows_pages(
    studio: RunningStudio, run: str, disks: Disks, wanted: dict[str, Any], keep: Kept
) -> None:
    with while_nobody_writes(disks.database / "hone.db", filled(disks.database)), studio.rest as rest:
        assert "Free some space" in refusal(rest.post("/api/v1/runs", json=wanted))
        pages_render(studio, run)
        assert rest.get("/readyz").json()["checks"]["disk"] is False
    keep(goes_on(studio, run))
    assert is_whole(disks.database / "hone.db")
    with studio.rest as rest:
        second = rest.post("/api/v1/runs", json=wanted).raise_for_status().json()["id"]
        rest.post(f"/api/v1/runs/{second}/cancel").raise_for_status()


def test_a_full_disk_of_the_store_refuses_uploads_and_keeps_what_was_learned(
    studio: RunningStudio, run: str, disks: Disks, rows: Path, keep: Kept
) -> None:
    # Whoever still looks through rows that were uploaded before writes there too.
    studio.wait_for("/api/v1/datasets", lambda found: not any(each["work"] for each in found["data"]))
    kept = files_under(disks.store).keys()
    with filled(disks.store), studio.rest as rest:
        with rows.open("rb") as opened:
            assert "ree" in refusal(rest.post("/api/v1/datasets", files={"file": (rows.name, opened)}, data={"name": "x"}))
        assert files_under(disks.store).keys() - kept == {disks.store / FILLER}
        pages_render(studio, run)
        rest.post(f"/api/v1/runs/{run}/stop").raise_for_status()
        stopped = state(studio, run, lambda run: run["status"] not in {"running", "stopping"})
        assert (stopped["status"], stopped["model"]) == ("stopped", None)
        assert stopped["reason"].startswith(f"The disk at {disks.store} is full")
        assert "Free some space there, then resume" in stopped["reason"]
    assert studio.upload(rows)["status"] == "ready"
    with studio.rest as rest:
        rest.post(f"/api/v1/runs/{run}/resume").raise_for_status()
        keep(goes_on(studio, run))
        rest.post(f"/api/v1/runs/{run}/stop").raise_for_status()
        assert state(studio, run, lambda run: run["status"] == "stopped")["model"]


def test_a_full_disk_of_bases_pauses_a_run_that_fetches_one(
    studio: RunningStudio, runs: list[str], disks: Disks, wanted: dict[str, Any], keep: Kept
) -> None:
    with studio.rest as rest:
        rest.post(f"/api/v1/runs/{runs[0]}/cancel")
    with filled(disks.bases):
        run = studio.launch(**wanted | {"base_model": "lab/tiny"})
        paused = state(studio, run, lambda run: run["status"] not in {"queued", "starting", "running", "pausing"})
        assert (paused["status"], paused["attempt"]) == ("paused", 1)
        assert paused["reason"].startswith(f"The disk at {disks.bases} is full")
    with studio.rest as rest:
        rest.post(f"/api/v1/runs/{run}/resume").raise_for_status()
        keep(goes_on(studio, run))
        rest.post(f"/api/v1/runs/{run}/cancel").raise_for_status()
