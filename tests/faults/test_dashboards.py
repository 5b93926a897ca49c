"""Live pages keep up with runs that write all the time, and lose no event, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.config import Settings
from bench.dashboards import RUNS, Batch, Load, Seen, Written, measure, running_runs, web_of
from tests.faults.harness.results import Recorder
from tests.faults.servers import PostgreSql
from tools.running import RunningStudio, running_studio

GENEROUS_SECONDS = 10.0


@pytest.fixture
def studio(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStudio]:
    """One web process on each kind of database."""
    with ExitStack() as ended:
        if request.param == "postgresql":
            server = ended.enter_context(closing(PostgreSql()))
            monkeypatch.setenv("HONE_DATABASE_URL", server.url)
        yield ended.enter_context(running_studio(tmp_path / "home", HONE_WORKERS="false"))


@pytest.mark.parametrize(
    ("studio", "streams", "seconds"),
    [
        ("postgresql", 50, 10.0),  # where events may be committed out of order
        pytest.param("sqlite", 200, 60.0, marks=pytest.mark.slow),
        pytest.param("postgresql", 200, 60.0, marks=pytest.mark.slow),
    ],
    indirect=["studio"],
)
def test_live_pages_keep_up_and_lose_no_event(
    studio: RunningStudio, streams: int, seconds: float, seed: int, request: pytest.FixtureRequest, record: Recorder
) -> None:
    settings = Settings(home=studio.home)
    runs = running_runs(settings, 2 * RUNS)
    load = Load(studio.address, settings.database, runs[:RUNS], runs[RUNS:], streams, seconds, seed)
    found = measure(load, web_of(studio))
    print(found)
    assert found["opened"] == streams
    assert (found["dropped"], found["unrung"], found["cut_off"]) == (0, 0, 0)
    assert found["told"] > streams
    is_large = request.node.get_closest_marker("slow") is not None
    assert found["update_seconds"]["p95"] < (2.0 if is_large else GENEROUS_SECONDS)
    assert found["page_seconds"]["p95"] < (0.5 if is_large else GENEROUS_SECONDS)
    shown = {f"{what}_p95_seconds": found[f"{what}_seconds"]["p95"] for what in ("update", "page")}
    result = {"dropped": found["dropped"], "told": found["told"]} | shown | {"web_mib": found["web_mib"]["after"]}
    record("L1", n=streams, result=result, seed=seed, database=request.node.callspec.params["studio"])


@pytest.mark.parametrize(("told", "dropped"), [({"busy"}, 1), ({"busy", "quiet"}, 0)])
def test_an_event_that_is_passed_over_is_counted(told: set[str], dropped: int) -> None:
    """The control of the one above: what goes on past an event without ringing its run has lost it, whatever rings later."""
    seen = Seen(("busy", "quiet"), comes_back=False, opened=1.0)
    seen.batches = [Batch(2.0, 4, frozenset({"busy"})), Batch(3.0, 6, frozenset(told)), Batch(4.0, 7, frozenset({"busy", "quiet"}))]
    assert seen.dropped([Written(2.5, 5)]) == dropped
