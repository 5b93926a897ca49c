from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from fastapi.sse import ServerSentEvent
from fastapi.testclient import TestClient
from sqlalchemy import event

from app.db import EventRow, Import, Run, WorkerRow, metrics
from app.db.session import reading, unit_of_work
from app.services.accounts import Accounts
from app.services.changes import Changes, Moment
from app.services.studio import Studio
from app.web import live
from app.web.live import Live, Tail
from tools.sample_project import Sample


def step_on(studio: Studio, run_id: str) -> None:
    with unit_of_work(studio.engine) as session:
        run = session.get_one(Run, run_id)
        run.step += 1
        metrics.append(session, run_id, 1, [metrics.Point(run.step, "train/loss", 0.5)])


def project_of(studio: Studio) -> str:
    with reading(studio.engine) as session:
        owner = Accounts(session).owner()
    assert owner
    return owner.project_id


@pytest.fixture
def tail(studio: Studio) -> Tail:
    tail = Tail(studio.engine)
    tail.start()
    return tail


def test_what_was_before_is_no_news(tail: Tail) -> None:
    assert tail.look() == []


def test_a_run_that_moves_rings_itself_and_the_list_once(tail: Tail, studio: Studio, sample: Sample) -> None:
    step_on(studio, sample.runs["running"])
    project = project_of(studio)
    assert set(tail.look()) == {(project, "runs"), (project, f"run:{sample.runs['running']}")}
    assert tail.look() == []


def test_an_import_rings_its_dataset(tail: Tail, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        session.query(Import).one().rows_read += 1
    assert (project_of(studio), f"dataset:{sample.datasets['importing']}") in tail.look()


def test_a_worker_belongs_to_no_project(tail: Tail, studio: Studio) -> None:
    with unit_of_work(studio.engine) as session:
        session.query(WorkerRow).first().pid += 1  # type: ignore[union-attr]
    assert (None, "workers") in tail.look()


def test_an_event_rings_its_subject_alone(tail: Tail, studio: Studio, sample: Sample) -> None:
    run_id, project = sample.runs["done"], project_of(studio)
    with unit_of_work(studio.engine) as session:
        session.add(EventRow(project_id=project, subject_id=run_id, type="notice", message="x"))
    assert (project, f"run:{run_id}") in tail.look()


class Reader:
    """Someone who follows a page."""

    def __init__(
        self, hub: Live, studio: Studio, *topics: str, since: Moment | None = None, allowed: Callable[[], bool] = lambda: True
    ) -> None:
        self.stream = hub.stream(project_of(studio), frozenset(topics), since, allowed)

    async def next(self) -> ServerSentEvent:
        return await asyncio.wait_for(anext(self.stream), 20)


def test_a_page_hears_of_what_it_shows_and_of_nothing_else(studio: Studio, sample: Sample) -> None:
    async def follow() -> None:
        hub = Live(studio.engine)
        reader = Reader(hub, studio, f"run:{sample.runs['running']}")
        assert (await reader.next()).comment == "open"
        step_on(studio, sample.runs["paused"])
        step_on(studio, sample.runs["running"])
        rung = await reader.next()
        assert (rung.event, rung.raw_data) == ("run-changed", f"run:{sample.runs['running']}")
        assert Moment.parse(rung.id)

    asyncio.run(follow())


def test_who_comes_back_is_told_what_was_missed(studio: Studio, sample: Sample) -> None:
    with reading(studio.engine) as session:
        before = Changes(session).now()
    step_on(studio, sample.runs["running"])

    async def follow() -> None:
        reader = Reader(Live(studio.engine), studio, "runs", since=before)
        await reader.next()
        assert (await reader.next()).event == "runs-changed"

    asyncio.run(follow())


def test_who_comes_back_is_told_of_an_event_that_changed_no_row(studio: Studio, sample: Sample) -> None:
    run_id = sample.runs["done"]
    with reading(studio.engine) as session:
        before = replace(Changes(session).now(), clock=1e12)
    with unit_of_work(studio.engine) as session:
        session.add(EventRow(project_id=project_of(studio), subject_id=run_id, type="notice", message="x"))

    async def follow() -> None:
        reader = Reader(Live(studio.engine), studio, f"run:{run_id}", since=before)
        await reader.next()
        assert (await reader.next()).raw_data == f"run:{run_id}"

    asyncio.run(follow())


def test_a_page_just_drawn_is_told_of_nothing_older(studio: Studio, sample: Sample) -> None:
    """Each redraw opens a stream: one that rang for what the page shows already would have it redrawn without end."""
    run_id = sample.runs["done"]
    with unit_of_work(studio.engine) as session:
        session.add(EventRow(project_id=project_of(studio), subject_id=run_id, type="notice", message="x"))
    with reading(studio.engine) as session:
        drawn = Changes(session).now()
    missed = Live(studio.engine)._missed(Moment(drawn.clock + live.MARGIN_SECONDS, drawn.event))
    assert missed == []


@pytest.mark.parametrize("page", ["/", "/runs", "/board", "/datasets", "/runs/{}"])
def test_a_page_notes_its_moment_before_it_reads(browser: TestClient, studio: Studio, sample: Sample, page: str) -> None:
    """What is committed while it is drawn would be neither on the page nor told by its stream."""
    asked: list[str] = []
    event.listen(studio.engine, "before_cursor_execute", lambda *told: asked.append(str(told[2])))
    assert browser.get(page.format(sample.runs["running"])).status_code == 200
    moments = [at for at, statement in enumerate(asked) if "max(events.id)" in statement and "coalesce" in statement]
    shown = [at for at, statement in enumerate(asked) if "FROM runs" in statement or "FROM datasets" in statement]
    assert moments[0] < min(shown)


def test_an_event_that_is_committed_after_later_ones_rings_too(tail: Tail, studio: Studio, sample: Sample) -> None:
    """PostgreSQL numbers an event when it is written, and shows it when it is committed."""
    newest, project = tail.moment.event if tail.moment else 0, project_of(studio)
    for number, run_id in ((newest + 2, sample.runs["done"]), (newest + 1, sample.runs["paused"])):
        with unit_of_work(studio.engine) as session:
            session.add(EventRow(id=number, project_id=project, subject_id=run_id, type="notice", message="x"))
        assert (project, f"run:{run_id}") in tail.look()


def test_who_is_cut_off_in_the_middle_of_the_rings_hears_the_others_again(studio: Studio, sample: Sample) -> None:
    """An id says how far everything was told; a browser that comes back gives the last one it got."""
    topics = ("runs", f"run:{sample.runs['running']}")

    async def follow() -> list[str | None]:
        reader = Reader(Live(studio.engine), studio, *topics)
        await reader.next()
        step_on(studio, sample.runs["running"])
        return [(await reader.next()).id for _ in topics]

    first, last = asyncio.run(follow())
    assert first is None
    assert Moment.parse(last)


def test_another_project_hears_nothing(studio: Studio, sample: Sample) -> None:
    listener = live.Listener("another", frozenset({"runs", "workers"}))
    listener.hear([(project_of(studio), "runs")])
    assert listener.rung == set()
    listener.hear([(None, "workers")])
    assert listener.rung == {"workers"}


def test_who_may_look_no_longer_is_shut_out(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RECHECK_SECONDS", 0.05)

    async def follow() -> list[str | None]:
        reader = Reader(Live(studio.engine), studio, "runs", allowed=lambda: False)
        return [event.event async for event in reader.stream]

    assert asyncio.run(asyncio.wait_for(follow(), 20)) == [None, "signed-out"]


def test_a_database_that_hangs_under_many_streams_keeps_no_request_waiting(
    app: FastAPI, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RECHECK_SECONDS", 0.05)
    released = threading.Event()
    hub: Live = app.state.web.live

    def hang() -> bool:
        released.wait(60)
        return True

    async def follow(reader: Reader) -> None:
        async for _ in reader.stream:
            pass

    async def ask() -> None:
        streams = [asyncio.create_task(follow(Reader(hub, studio, "runs", allowed=hang))) for _ in range(60)]
        await asyncio.sleep(1)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            async with asyncio.timeout(20):
                assert [(await client.get(path)).status_code for path in ("/livez", "/")] == [200, 200]
        hub.close()
        released.set()
        await asyncio.gather(*streams)

    try:
        asyncio.run(asyncio.wait_for(ask(), 40))
    finally:
        released.set()


def test_closing_ends_every_stream(studio: Studio) -> None:
    async def follow() -> None:
        hub = Live(studio.engine)
        reader = Reader(hub, studio, "runs")
        await reader.next()
        hub.close()
        with pytest.raises(StopAsyncIteration):
            await reader.next()

    asyncio.run(follow())


def test_the_tail_rests_when_nobody_listens(studio: Studio) -> None:
    async def follow() -> None:
        hub = Live(studio.engine)
        stream = hub.stream(project_of(studio), frozenset({"runs"}), None, lambda: True)
        await anext(stream)
        tailing = hub._tailing
        assert tailing is not None
        await stream.aclose()
        await tailing
        assert hub._tailing is None

    asyncio.run(asyncio.wait_for(follow(), 20))


@pytest.mark.parametrize("topics", ["passwords", "runs,", "run:../..", ",".join(f"run:{n}" for n in range(20))])
def test_there_is_no_stream_of_anything_else(browser: TestClient, topics: str) -> None:
    assert browser.get("/live", params={"topics": topics}).status_code in {404, 422}


def test_a_stream_is_authorised_like_its_page(browser: TestClient) -> None:
    assert browser.get("/live?topics=run:00000000").status_code == 404
