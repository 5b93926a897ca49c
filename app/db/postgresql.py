"""How PostgreSQL is waited for: never for long, whatever has become of it, since people and heartbeats wait too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import PQGen
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

CONNECT_SECONDS, LOCK_SECONDS, STATEMENT_SECONDS = 2, 4, 5
HANGS_SECONDS = STATEMENT_SECONDS + 1
"""After this long the server does not even say that its own time was up."""
REMOVAL_SECONDS = 120
"""A run can have millions of rows, and they go in one commit."""
ABANDONED_SECONDS = 60
"""A worker that was stopped in the middle of a transaction must not keep its rows locked from those who take over."""
ARGUMENTS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "options": f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout={STATEMENT_SECONDS}s"
    f" -c idle_in_transaction_session_timeout={ABANDONED_SECONDS}s",
}
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


def connect(_dialect: object, _record: object, arguments: tuple[Any, ...], named: dict[str, Any]) -> psycopg.Connection[Any]:
    """Connect for SQLAlchemy (its event `do_connect`)."""
    return ImpatientConnection.connect(*arguments, **named)


def be_patient(connection: Connection) -> None:
    """Let one transaction take its time: changing the schema, with a copy made first; the connection is not to be used for others."""
    own = connection.connection.dbapi_connection
    assert isinstance(own, ImpatientConnection)  # noqa: S101 - `connect` made it
    own.patience = None
    connection.exec_driver_sql(WITHOUT_LIMIT)


@contextmanager
def taking_time(session: Session) -> Iterator[None]:
    """Let the statements inside take long, where the database is PostgreSQL: removing much, which would else fail every time."""
    own = session.connection().connection.dbapi_connection
    if not isinstance(own, ImpatientConnection):
        yield
        return
    session.execute(text(f"SET LOCAL statement_timeout = '{REMOVAL_SECONDS}s'"))
    own.patience = REMOVAL_SECONDS + 1
    try:
        yield
    finally:
        own.patience = HANGS_SECONDS
