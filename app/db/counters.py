"""What is counted over all processes and restarts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, String, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LEASE_EXPIRED, STALE_WRITE_REJECTED, RUN_STEPS = "lease_expired", "stale_write_rejected", "run_steps"


class Counter(Base):
    """A number that only grows; its name may have a part after a slash, for who counts it (`count`)."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


def count(session: Session, name: str, by: int = 1, *, of: str = "") -> None:
    """Add to a counter, in the transaction of what is counted.

    `of`: who counts. What is counted all the time has a row for each: with one for all, each would wait for whoever is about to commit.
    """
    name = f"{name}/{of}" if of else name
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    add = dialect.insert(Counter).values(name=name, value=by)
    session.execute(add.on_conflict_do_update(index_elements=[Counter.name], set_={"value": Counter.value + by}))


def counted(session: Session) -> dict[str, int]:
    """Return every counter that has counted anything."""
    found: dict[str, int] = {}
    for name, value in session.execute(select(Counter.name, Counter.value)):
        whole = name.partition("/")[0]
        found[whole] = found.get(whole, 0) + value
    return found
