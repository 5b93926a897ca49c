"""Whether everything a person needs is there, tried and not presumed: what cannot be written to is not ready."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.orm import Session

from app.db.counters import count
from app.db.migrate import is_current
from app.db.session import reading
from app.services.probe import Probe
from app.services.queues import TABLES
from app.services.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from sqlalchemy import Engine

    from app.domain.ports import Storage
    from app.services.studio import Studio

PATIENCE_SECONDS = 3.0
"""For all checks together: what has not answered by then is not there. Shorter than anybody's patience who asks."""
FRESH_SECONDS = 5.0
WARNINGS = frozenset({"disk"})
"""What is told and decides nothing: on a disk that is nearly full things still work, and where they no longer do, another check says so."""
log = structlog.get_logger()


class NotReady(Exception):
    """Why a check fails, for the log."""


class Readiness:
    """The checks of one studio; `inference_is_alive` is asked where the studio runs its own."""

    def __init__(self, studio: Studio, inference_is_alive: Callable[[], bool]) -> None:
        checks: dict[str, Probe[None]] = {
            "database": Probe(lambda: try_database(studio.engine), fresh_seconds=1.0),
            "migrations": Probe(
                lambda: _expect(is_current(studio.engine), "the schema is not this version's"), fresh_seconds=FRESH_SECONDS
            ),
            "storage": Probe(lambda: try_storage(studio.storage, studio.incoming), fresh_seconds=FRESH_SECONDS),
            "disk": Probe(lambda: _try_disks(studio)),
        }
        if studio.expects_workers:
            checks["workers"] = Probe(lambda: _expect(_all_queues_are_served(studio), "a queue has no worker"))
            checks["inference"] = Probe(lambda: _expect(inference_is_alive(), "it does not answer"))
        self._checks = checks
        self._missing: frozenset[str] | None = None

    def look(self) -> dict[str, bool]:
        """Return which parts are there; the log hears of it when that changes, and why."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        asked = {name: probe.start() for name, probe in self._checks.items()}
        why = {name: _why_not(answer, max(0.0, deadline - time.monotonic())) for name, answer in asked.items()}
        missing = {name: reason for name, reason in why.items() if reason}
        checks = {name: not reason for name, reason in why.items()}
        if missing.keys() != self._missing:
            self._missing = frozenset(missing)
            log.info("readiness", ready=is_ready(checks), **missing)
        return checks


def is_ready(checks: Mapping[str, bool]) -> bool:
    """Return whether what checks have found is enough to work with."""
    return all(is_there for name, is_there in checks.items() if name not in WARNINGS)


def _why_not(answer: Future[None], seconds: float) -> str:
    """Return why a check failed, or nothing."""
    try:
        error = answer.exception(seconds)
    except TimeoutError:
        return "it did not answer in time"
    return str(error) or type(error).__name__ if error else ""


def try_database(engine: Engine) -> None:
    """Write into the database, and take it back: a copy that can only be read would pass any question."""
    with Session(engine) as session:
        count(session, "probe")
        session.rollback()


def try_storage(storage: Storage, incoming: Path) -> None:
    """Put a tiny file into the store, read it back and remove it."""
    source = incoming / f"probe-{secrets.token_hex(8)}"
    try:
        source.write_bytes(secrets.token_bytes(32))
        sealed = storage.seal(source)
        storage.put(sealed)
        try:
            _expect(storage.measure(sealed.sha256) == (sealed.sha256, sealed.size_bytes), "the store gave back something else")
        finally:
            storage.remove(sealed.sha256)
    finally:
        source.unlink(missing_ok=True)


def _try_disks(studio: Studio) -> None:
    full = [name for name, asked in studio.disks.ask().items() if asked.result().is_nearly_full]
    _expect(not full, f"no room left for: {', '.join(full)}")


def _all_queues_are_served(studio: Studio) -> bool:
    with reading(studio.engine) as session:
        return {worker.queue for worker in Workers(session).alive()} >= TABLES.keys()


def _expect(is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like an assertion
    if not is_so:
        raise NotReady(otherwise)
