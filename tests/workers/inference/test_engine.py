"""The engine's queue, without its thread and without a model."""

from __future__ import annotations

from pathlib import Path

from app.domain.chat import ChatMessage
from app.domain.errors import Unavailable
from workers.inference.engine import MAX_WAITING, Engine
from workers.inference.jobs import Failed, Job, Report
from workers.inference.protocol import Place, ServedRequest


def submit(engine: Engine, reports: list[Report]) -> Job:
    hello = ChatMessage(role="user", content="Hello")
    return engine.submit(ServedRequest(model="m", messages=[hello], hone=Place(base_dir=Path("gone"))), reports.append)


def test_requests_that_were_given_up_take_no_place_in_the_queue() -> None:
    engine, reports = Engine("cpu", 1), list[Report]()
    _, *abandoned = [submit(engine, reports) for _ in range(MAX_WAITING)]
    for job in abandoned:
        job.cancel()
    submit(engine, reports)
    engine._take_commands()
    assert reports == []


def test_a_full_queue_turns_the_next_request_away() -> None:
    engine, reports = Engine("cpu", 1), list[Report]()
    for _ in range(MAX_WAITING + 1):
        submit(engine, reports)
    engine._take_commands()
    [refused] = reports
    assert isinstance(refused, Failed)
    assert isinstance(refused.error, Unavailable)
    assert refused.error.code == "overloaded"
