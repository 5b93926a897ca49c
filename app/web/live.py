"""Live pages: one tail of the database for the whole process, fanned out to one stream a page.

Messages are doorbells: they say what changed, and the page fetches its own block again. So there is one way to draw a thing, and a lost
message costs nothing that the next one does not bring. The tail runs only while somebody listens, and in a thread.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi.sse import ServerSentEvent
from sqlalchemy.exc import SQLAlchemyError

from app.db.session import reading
from app.services.changes import BASELINE, DATASET, DOWNLOAD, RUN, WORKER, Changes, Moment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from sqlalchemy import Engine

    from app.services.changes import Change, Happened

POLL_SECONDS = 0.5
RECHECK_SECONDS = 4.0
"""How long a revoked key may still look on."""
OVERLAP_SECONDS = 10.0
"""A row's time is set before its commit, so each look goes back this far; what was seen already rings no second time."""
OVERLAP_EVENTS = 200
"""PostgreSQL numbers events before they are committed, so one may be seen after others with higher numbers."""
MARGIN_SECONDS = 1.0
"""A reader that comes back is told of this much more: a doorbell too many does no harm."""
THREADS = 4
"""Streams look at the database in so many threads of their own. With those that answer requests, a database that hangs would leave none."""
LISTS = {RUN: "runs", DATASET: "datasets", WORKER: "workers", BASELINE: "baselines", DOWNLOAD: "downloads"}
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(eq=False)
class Listener:
    """A page that is open somewhere: what it shows, and what has changed of that since it was told last."""

    project_id: str
    topics: frozenset[str]
    rung: set[str] = field(default_factory=set)
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, changes: Iterable[tuple[str | None, str]]) -> None:
        """Note the changes (project, topic) that this page shows and may know of."""
        mine = {topic for project, topic in changes if topic in self.topics and project in {None, self.project_id}}
        if mine:
            self.rung |= mine
            self.bell.set()


def topics_of(change: Change) -> list[tuple[str | None, str]]:
    """Return the topics a changed row rings: its own, and its list's."""
    return [(change.project_id, LISTS[change.kind]), (change.project_id, f"{change.kind}:{change.subject_id}")]


def topics_of_event(event: Happened) -> list[tuple[str | None, str]]:
    """Return the topics an event rings: a history does not say what its subject is, but ids are unique over all tables."""
    return [(event.project_id, f"{kind}:{event.subject_id}") for kind in (RUN, DATASET)]


class Tail:
    """The look at the database every half second; remembers what it has seen."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.moment: Moment | None = None
        self._seen: dict[tuple[str, str], float] = {}
        self._told: set[int] = set()

    def start(self) -> None:
        """Begin at the present: what was before is nobody's news."""
        with reading(self.engine) as session:
            changes = Changes(session)
            moment = changes.now()
            self._seen = {(c.kind, c.subject_id): c.updated_at for c in changes.since(moment.clock - OVERLAP_SECONDS)}
            self._told = {event.id for event in changes.events_after(moment.event - OVERLAP_EVENTS)}
        self.moment = moment

    def look(self) -> list[tuple[str | None, str]]:
        """Return the topics that changed since the last look."""
        last = self.moment or Moment(0.0, 0)
        with reading(self.engine) as session:
            changes = Changes(session)
            moment = changes.now()
            found = changes.since(last.clock - OVERLAP_SECONDS)
            happened = changes.events_after(last.event - OVERLAP_EVENTS)
        fresh = [change for change in found if self._seen.get((change.kind, change.subject_id), 0.0) < change.updated_at]
        news = [event for event in happened if event.id not in self._told]
        self._seen = {(c.kind, c.subject_id): max(c.updated_at, self._seen.get((c.kind, c.subject_id), 0.0)) for c in found}
        self._told = {event.id for event in happened}
        self.moment = Moment(moment.clock, max(self._told, default=last.event))
        return [topic for change in fresh for topic in topics_of(change)] + [topic for event in news for topic in topics_of_event(event)]


class Live:
    """All open streams of this process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.closed = False
        self.tail = Tail(engine)
        self._told: Moment | None = None
        self._threads = CapacityLimiter(THREADS)
        self._listeners: set[Listener] = set()
        self._tailing: asyncio.Task[None] | None = None
        self._started = asyncio.Event()

    def close(self) -> None:
        """End every stream, so that a server that wants to leave need not wait for its readers."""
        self.closed = True
        self._started.set()
        for listener in self._listeners:
            listener.bell.set()

    async def stream(
        self, project_id: str, topics: frozenset[str], since: Moment | None, still_allowed: Callable[[], bool]
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield a doorbell for each change of `topics`, first for what changed after `since`; ends with the reader's right to look."""
        listener = Listener(project_id, topics)
        self._listeners.add(listener)
        try:
            await self._begin(listener, since)
            # Who comes back has not heard yet what was missed, and may be gone before that is said.
            yield ServerSentEvent(comment="open", id=None if since else self._id())
            checked = time.monotonic()
            while not self.closed:
                await self._wait(listener)
                if time.monotonic() - checked > RECHECK_SECONDS:
                    # Who waits for a thread must not hold up a server that leaves.
                    if not await self._look(lambda: self.closed or still_allowed()):
                        yield ServerSentEvent(event="signed-out", raw_data="")
                        return
                    checked = time.monotonic()
                rung, listener.rung, told = sorted(listener.rung), set(), self._id()
                for topic in rung:
                    # The last one says how far this goes: who is cut off before it must hear the others again.
                    number = told if topic == rung[-1] else None
                    yield ServerSentEvent(event=f"{topic.partition(':')[0]}-changed", raw_data=topic, id=number)
        finally:
            self._listeners.discard(listener)

    async def _begin(self, listener: Listener, since: Moment | None) -> None:
        if self._tailing is None:
            self._tailing = asyncio.create_task(self._tail())
        # Who is told "open" misses nothing that comes later.
        await self._started.wait()
        if since is not None:
            listener.hear(await self._look(partial(self._missed, since)))

    async def _wait(self, listener: Listener) -> None:
        if not listener.rung:
            try:
                async with asyncio.timeout(RECHECK_SECONDS):
                    await listener.bell.wait()
            except TimeoutError:
                pass
        listener.bell.clear()

    def _missed(self, since: Moment) -> list[tuple[str | None, str]]:
        with reading(self.engine) as session:
            changes = Changes(session)
            rows, events = changes.since(since.clock - MARGIN_SECONDS), changes.events_after(since.event)
        return [topic for change in rows for topic in topics_of(change)] + [topic for event in events for topic in topics_of_event(event)]

    async def _tail(self) -> None:
        """Look, tell, sleep: until nobody listens."""
        try:
            while self._listeners and not self.closed:
                try:
                    await self._turn()
                except SQLAlchemyError as error:
                    log.warning("live pages cannot read the database; trying again", error=str(error))
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._tailing = None
            self._started.clear()

    async def _turn(self) -> None:
        if not self._started.is_set():
            await self._look(self.tail.start)
            self._told = self.tail.moment
            self._started.set()
            return
        changed = await self._look(self.tail.look)
        # Together with what was found: an id that ran ahead of its rings would have who comes back miss them.
        self._told = self.tail.moment
        for listener in self._listeners:
            listener.hear(changed)

    async def _look(self, ask: Callable[[], T]) -> T:
        return await to_thread.run_sync(ask, limiter=self._threads)

    def _id(self) -> str | None:
        return str(self._told) if self._told else None
