"""The database connection, and `unit_of_work`: the only place that commits."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app.db import postgresql
from app.domain.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ExceptionContext
    from sqlalchemy.exc import DBAPIError

SAFE_WAL_SQLITE = (3, 51, 3)
"""Older libraries can corrupt a WAL database when one connection checkpoints while another writes (sqlite.org/changes)."""
AFTER_COMMIT = "hone_after_commit"
log = structlog.get_logger()
UNREACHABLE = (OperationalError, InterfaceError, PoolTimeout)
"""How a database that is away, locked or overrun shows itself; trying again later may work."""
POOL_SECONDS, LOCK_SECONDS = 2, 4
"""How long a connection, and on SQLite the file's lock, may be waited for: whoever asks for a page is told within ten seconds."""


def journal_mode() -> str:
    """Return the journal mode this machine's SQLite can be trusted with."""
    return "WAL" if sqlite3.sqlite_version_info >= SAFE_WAL_SQLITE else "TRUNCATE"


def make_engine(url: str) -> Engine:
    """Return an engine for SQLite or PostgreSQL; opens no connection."""
    # Failures go to the log, and what people wrote or keep secret does not belong there.
    shared: dict[str, Any] = {"hide_parameters": True, "pool_size": 10, "pool_timeout": POOL_SECONDS}
    if not url.startswith("sqlite"):
        engine = create_engine(url, pool_pre_ping=True, max_overflow=20, connect_args=postgresql.arguments(url), **shared)
        event.listen(engine, "do_connect", postgresql.connect)
        event.listen(engine, "handle_error", _name_rightly)
        return engine
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False}, max_overflow=30, **shared)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "handle_error", _name_rightly)
    return engine


def _name_rightly(context: ExceptionContext) -> DBAPIError | None:
    """Tell apart what drivers give one name: whether to try again later is asked by UNREACHABLE."""
    cause = context.original_exception
    # SQLite says the same of a table that is not there as of a lock; the one is a mistake and stays one.
    is_mistake = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    # PostgreSQL's end of a transaction that was idle for too long is "internal" to the driver; its connection is gone.
    is_away = isinstance(cause, psycopg.errors.IdleInTransactionSessionTimeout)
    if not (is_mistake or is_away):
        return None
    kind = ProgrammingError if is_mistake else OperationalError
    return kind(context.statement, context.parameters, cause, hide_parameters=True)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Python's own transaction handling begins late and only for some statements; ours begins in _begin_sqlite.
    connection.isolation_level = None
    for setting in (f"journal_mode={journal_mode()}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")
    # SQLite's own knows the 26 letters of English alone.
    connection.create_function("lower", 1, lambda text: text if text is None else str(text).lower(), deterministic=True)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: two that read first and write later would deadlock, and SQLite would fail one without waiting.
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def in_words(error: Exception) -> Unavailable:
    """Return what one of UNREACHABLE means to whoever asked."""
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == postgresql.DISK_FULL:
        return Unavailable("The database's disk is full, so nothing was changed. Free some space there, then try again.", code="disk_full")
    return Unavailable("The database does not answer just now, so nothing was changed. Try again in a moment.")


@contextmanager
def unit_of_work(engine: Engine | Connection) -> Iterator[Session]:
    """Commit everything done inside, or nothing; then do what waited for the commit."""
    with Session(engine, expire_on_commit=False) as session:
        with session.begin():
            yield session
        _after_commit(session)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Give a session that only reads, and so never waits for a writer's turn."""
    with Session(engine.execution_options(reads_only=True), expire_on_commit=False, autoflush=False) as session:
        yield session


def pause(session: Session) -> None:
    """End what a reading session has begun, before something slow like fetching a file; its next question begins anew.

    Meanwhile nobody could commit on SQLite, and PostgreSQL would end it for being idle. A session that writes goes on as it is.
    """
    if session.get_bind().get_execution_options().get("reads_only"):
        session.commit()


def after_commit(session: Session, action: Callable[[], Any]) -> None:
    """Do `action` once the surrounding unit of work is committed (a bell may never outrun the data it speaks of)."""
    session.info.setdefault(AFTER_COMMIT, []).append(action)


def _after_commit(session: Session) -> None:
    for action in session.info.pop(AFTER_COMMIT, []):
        try:
            action()
        except Exception:
            # What was asked is done and committed; a file that would not go away must not turn that into a failure.
            log.exception("something that waited for a commit failed")
