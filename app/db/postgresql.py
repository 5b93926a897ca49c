"""How PostgreSQL is waited for: never for long, whatever has become of it, since people and heartbeats wait too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import make_url

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from sqlalchemy import Connection

CONNECT_SECONDS, LOCK_SECONDS, STATEMENT_SECONDS = 2, 4, 5
HANGS_SECONDS = STATEMENT_SECONDS + 1
"""After this long the server does not even say that its own time was up."""
REMOVAL_SECONDS = 120
"""A run can have millions of rows, and they go in one commit; with less it would fail every time."""
ABANDONED_SECONDS = 60
"""A worker that was stopped in the middle of a transaction must not keep its rows locked from those who take over."""
OPTIONS = (
    f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout={STATEMENT_SECONDS}s -c idle_in_transaction_session_timeout={ABANDONED_SECONDS}s"
)
WITHOUT_LIMIT = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
DISK_FULL = "53100"


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that gives up on a server that hangs: a frozen machine answers no statement and closes nothing either."""

    patience: float | None = HANGS_SECONDS

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for a statement as psycopg does, but not for ever; what has not been answered then never will be."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
            raise

    def commit(self) -> None:
        """Commit; what was given for one transaction ends with it."""
        super().commit()
        self.patience = HANGS_SECONDS

    def rollback(self) -> None:
        """Take back; what was given for one transaction ends with it."""
        self.patience = HANGS_SECONDS
        super().rollback()


def arguments(url: str) -> dict[str, Any]:
    """Return what connections are opened with: an address's own options (a search_path, for instance), and ours, which win."""
    own = make_url(url).normalized_query.get("options", ())
    return {"connect_timeout": CONNECT_SECONDS, "options": " ".join([*own, OPTIONS])}


def connect(_dialect: object, _record: object, arguments: tuple[Any, ...], named: dict[str, Any]) -> psycopg.Connection[Any]:
    """Connect for SQLAlchemy (its event `do_connect`)."""
    return ImpatientConnection.connect(*arguments, **named)


def take_time(connection: Connection, seconds: int | None = None) -> None:
    """Let each statement of this transaction from now on, and its commit, take so long; None waits for ever. Nothing on SQLite."""
    own = connection.connection.dbapi_connection
    if isinstance(own, ImpatientConnection):
        own.patience = None if seconds is None else seconds + 1
        connection.exec_driver_sql(WITHOUT_LIMIT if seconds is None else f"SET LOCAL statement_timeout = '{seconds}s'")
