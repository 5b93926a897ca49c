"""Checks of what a studio is made of: database, store, broker, workers, and with --deep every file."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from app.db.base import database_time
from app.db.migrate import is_current
from app.db.session import SAFE_WAL_SQLITE, make_engine, reading
from app.domain.bells import bell_of
from app.domain.errors import StudioError
from app.gateways.stores import make_store
from app.services.integrity import look_through
from app.services.queues import TABLES
from app.services.readiness import try_database, try_storage
from app.services.workers import Workers
from app.upkeep.checks import Check, fail, ok, warn
from app.upkeep.databases import no_studio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Engine

    from app.config import Settings

FIRST_UNSAFE_SQLITE = (3, 7, 0)
SKEW_SECONDS = 5.0
BROKER_SECONDS = 3.0
LISTED = 20
"""So many damaged or unknown files are named one by one."""


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine | None]:
    """Give the database; None where there is none yet."""
    engine = make_engine(settings.database)
    try:
        yield None if no_studio(settings) else engine
    finally:
        engine.dispose()


def database(settings: Settings) -> Iterable[Check]:
    """See that the database answers, can be written to, has this version's schema, and goes by the same clock."""
    with _engine(settings) as engine:
        if engine is None:
            yield fail("database", no_studio(settings), "hone up makes one.")
            return
        if engine.url.get_backend_name() == "sqlite":
            yield _sqlite(Path(engine.url.database or ""))
        if not is_current(engine):
            advice = "Run: hone migrate. It makes a copy first."
            yield fail("database", "It does not have this version's schema.", advice)
            return
        try_database(engine)
        with reading(engine) as session:
            skew = database_time(session) - time.time()
        yield ok("database", f"{engine.dialect.name} answers, can be written to, and has this version's schema.")
        told = f"The database's clock and this machine's differ by {abs(skew):.1f} seconds."
        late = "Leases go by the database's clock alone, but times on pages will look wrong: set this machine's clock (NTP)."
        yield ok("clock", told) if abs(skew) < SKEW_SECONDS else warn("clock", told, late)


def _sqlite(path: Path) -> Check:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    told = f"SQLite {sqlite3.sqlite_version}, journal mode {mode}."
    if mode == "wal" and FIRST_UNSAFE_SQLITE <= sqlite3.sqlite_version_info < SAFE_WAL_SQLITE:
        advice = "This SQLite can damage such a database (fixed in 3.51.3). Stop what else uses it; hone up chooses a safe mode."
        return fail("SQLite", told, advice)
    return ok("SQLite", told)


def store(settings: Settings) -> Iterable[Check]:
    """Put a tiny file into the store, read it and remove it."""
    if no_studio(settings) or not settings.home.exists():
        return
    files = make_store(settings.store_address, settings.store, settings.cache_bytes)
    try:
        try_storage(files, files.incoming)
        yield ok("store", f"{settings.store_address} can be written to and read.")
    except StudioError as error:
        yield fail("store", error.message, "")
    except OSError as error:
        told = f"{settings.store_address} cannot be written to ({error.strerror})."
        yield fail("store", told, "See whose folder it is, and whether its disk is full.")


def broker(settings: Settings) -> Iterable[Check]:
    """See that Redis answers and never throws messages away."""
    if not settings.redis_url:
        yield ok("broker", "None: workers look by themselves every second.")
        return
    with closing(redis.Redis.from_url(settings.redis_url, socket_timeout=BROKER_SECONDS, socket_connect_timeout=BROKER_SECONDS)) as client:
        try:
            number = client.info("server")["redis_version"]
        except redis.RedisError as error:
            advice = "Start it, or correct HONE_REDIS_URL; until then workers look by themselves."
            yield warn("broker", f"Redis does not answer ({type(error).__name__}).", advice)
            return
        yield ok("broker", f"Redis {number} answers.")
        try:
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        except redis.RedisError:
            return  # a hosted Redis may keep that to itself
        if policy != "noeviction":
            advice = "Set maxmemory-policy noeviction, or rings may be lost (workers still look by themselves)."
            yield warn("broker", f"Redis may throw messages away: maxmemory-policy is {policy}.", advice)


def workers(settings: Settings) -> Iterable[Check]:
    """See that each queue has a worker that lives and hears."""
    with _engine(settings) as engine:
        if engine is None or not is_current(engine):
            return
        with reading(engine) as session:
            alive = Workers(session).alive()
    for queue in sorted(TABLES):
        mine = [worker for worker in alive if worker.queue == queue]
        if not mine:
            yield warn(f"workers of {queue}", "None is alive.", f"hone up runs some; elsewhere: hone worker --queue {queue}")
            continue
        deaf = [worker for worker in mine if bell_of(worker.facts).is_silent]
        told = f"{len(mine)} alive: {', '.join(sorted({f'{worker.host} ({worker.device})' for worker in mine}))}."
        advice = "They look by themselves meanwhile; see whether they reach HONE_REDIS_URL."
        yield warn(f"workers of {queue}", f"{told} {len(deaf)} hear no rings.", advice) if deaf else ok(f"workers of {queue}", told)


def every_file(settings: Settings) -> Iterable[Check]:
    """Read every file of the store, and every checkpoint of this machine."""
    with _engine(settings) as engine:
        if engine is None or not is_current(engine):
            return
        found = look_through(engine, make_store(settings.store_address, settings.store, settings.cache_bytes), settings.runs)
    yield from (fail("files", wrong, "") for wrong in found.damaged[:LISTED])
    if len(found.damaged) > LISTED:
        yield fail("files", f"{len(found.damaged) - LISTED} more are damaged or missing.", "")
    if found.absent:
        advice = "Right where workers of other machines wrote them. Otherwise they were removed, and older ones will be used."
        yield warn("files", f"{found.absent[0]} So it is with {len(found.absent)} in all.", advice)
    if found.unknown:
        advice = "Left by something that was cut off, or of another database. If you know it is not needed, remove it."
        yield from (warn("files", f"No row speaks of this: {what}", advice) for what in found.unknown[:LISTED])
    if len(found.unknown) > LISTED:
        yield warn("files", f"No row speaks of {len(found.unknown) - LISTED} more.", "")
    if not found.damaged:
        yield ok("files", f"{found.files:,} files of the store and {found.checkpoints:,} checkpoints here were read and are right.")
