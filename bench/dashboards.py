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
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import quantiles
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import psutil

from app.db import Run
from app.db.leases import holding
from app.db.session import make_engine
from app.domain.events import Metric, Notice
from workers.training_work import TrainingWork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from app.domain.events import AnyEvent

TICK_SECONDS, METRICS_PER_SECOND = 0.25, 10
"""A worker writes what its trainer has said since it last looked, four times a second."""
QUIET_SECONDS = 3.0
"""How far apart a quiet run's events are: far enough that the ring of the next cannot be taken for the one before."""
CONNECT_SECONDS, LAST_RING_SECONDS = 4.0, 5.0
TOKEN = 1


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


@dataclass
class Seen:
    """What one stream was told: when it was first open, and when each run's bell rang; some go away and come back."""

    runs: tuple[str, str]
    comes_back: bool
    opened: float = 0.0
    last_id: str = ""
    rung: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def write(load: Load) -> dict[str, list[float]]:
    """Write as workers do; return when each run was written to. A process of its own."""
    engine, work = make_engine(load.database), TrainingWork()
    written: dict[str, list[float]] = defaultdict(list)
    began, turn, told = time.time(), 0, 0
    while (now := time.time()) < began + load.seconds:
        for run_id in load.busy:
            first = int(turn * TICK_SECONDS * METRICS_PER_SECOND)
            after = int((turn + 1) * TICK_SECONDS * METRICS_PER_SECOND)
            written[run_id].append(
                _write(engine, work, run_id, [Metric(step=n + 1, name="train/loss", value=0.5) for n in range(first, after)])
            )
        if now >= began + told * QUIET_SECONDS:
            told += 1
            for run_id in load.quiet:
                written[run_id].append(_write(engine, work, run_id, [Notice(message=f"Word {told}.")]))
        turn += 1
        time.sleep(max(0.0, began + turn * TICK_SECONDS - time.time()))
    engine.dispose()
    return dict(written)


def _write(engine: Engine, work: TrainingWork, run_id: str, events: Sequence[AnyEvent]) -> float:
    with holding(engine, Run, run_id, TOKEN) as (session, row):
        work.record(session, None, row, events)  # type: ignore[arg-type] # only checkpoints need the worker
        return time.time()


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
                await _follow(address, seen)
        except (TimeoutError, ConnectionError):
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
        while line := await reader.readline():
            if line.startswith(b": open"):
                seen.opened = seen.opened or time.time()
            elif line.startswith(b"id: "):
                seen.last_id = line[4:].decode().strip()
            elif line.startswith(b"data: run:"):
                seen.rung[line[10:].decode().strip()].append(time.time())
    finally:
        writer.close()


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


def measure(load: Load, web: psutil.Process) -> dict[str, Any]:
    """Make the load, and return what came of it."""
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        watching = pool.submit(watch, load, CONNECT_SECONDS + load.seconds + LAST_RING_SECONDS)
        time.sleep(CONNECT_SECONDS)
        before = web.memory_info().rss
        writing, visiting = pool.submit(write, load), pool.submit(visit, load)
        written, pages = writing.result(), visiting.result()
        after = web.memory_info().rss
        seen = watching.result()
    late = [wait for one in seen for run in one.runs for wait in waits(one, run, written[run])]
    return {
        "streams": load.streams, "seconds": load.seconds, "opened": sum(one.opened > 0 for one in seen),
        "events": sum(map(len, written.values())), "told": len(late), "dropped": sum(dropped(one, written[one.runs[1]]) for one in seen),
        "update_seconds": shares(late), "page_seconds": shares(pages),
        "web_mib": {"before": before >> 20, "after": after >> 20},
    }  # fmt: skip


def waits(seen: Seen, run: str, written: list[float]) -> list[float]:
    """Return how long after each write of a run the next ring came, of those who stayed."""
    rung = seen.rung[run]
    found = [(at, bisect_left(rung, at)) for at in written if not seen.comes_back and at > seen.opened]
    return [rung[place] - at for at, place in found if place < len(rung)]


def dropped(seen: Seen, written: list[float]) -> int:
    """Count the events of a quiet run that no ring told of: before the next event for who stayed, at all for who came back."""
    rung, missing = seen.rung[seen.runs[1]], 0
    for at, following in zip(written, [*written[1:], float("inf")], strict=True):
        place = bisect_left(rung, at)
        is_told = place < len(rung) and (seen.comes_back or rung[place] < following)
        missing += at > seen.opened and not is_told
    return missing


def shares(values: list[float]) -> dict[str, float]:
    """Return the middle, the 95th of a hundred, and the longest."""
    parts = quantiles(values, n=100)
    return {"p50": round(parts[49], 3), "p95": round(parts[94], 3), "longest": round(max(values), 3)}
