"""What a failing database tells."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app.db.accounts import User
from app.db.session import UNREACHABLE, in_words, reading, unit_of_work
from app.services.accounts import Identity


def sqlite_failure(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code
    return error


def test_a_failure_that_is_logged_holds_nothing_of_what_was_to_be_kept(engine: Engine) -> None:
    with pytest.raises(SQLAlchemyError) as caught, unit_of_work(engine) as session:
        session.execute(text("SELECT name FROM nowhere WHERE name = :name"), {"name": "a secret"})
    assert "nowhere" in str(caught.value)
    assert "a secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (sqlite_failure(sqlite3.SQLITE_FULL), "disk_full"),
        (sqlite_failure(sqlite3.SQLITE_BUSY), "unavailable"),
        (psycopg.errors.DiskFull(), "disk_full"),
        (psycopg.errors.AdminShutdown(), "unavailable"),
    ],
)
def test_a_database_that_cannot_says_whether_its_disk_is_full(cause: Exception, code: str) -> None:
    found = in_words(OperationalError("INSERT", {}, cause))
    assert (found.status, found.code) == (503, code)


def test_who_holds_a_row_too_long_makes_nobody_hang(engine: Engine, owner: Identity) -> None:
    touch = update(User).where(User.id == owner.user_id).values(name="x")
    with unit_of_work(engine) as holder:
        holder.execute(touch)
        with pytest.raises(UNREACHABLE), unit_of_work(engine) as session:
            session.execute(touch)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_connection_that_breaks_in_the_middle_leaves_nothing(engine: Engine, owner: Identity) -> None:
    with pytest.raises(UNREACHABLE):
        change_twice(engine, owner)
    with reading(engine) as session:
        assert session.get_one(User, owner.user_id).name not in {"half", "whole"}


def change_twice(engine: Engine, owner: Identity) -> None:
    """Change a row twice in one unit of work, whose connection ends in between."""
    mine = update(User).where(User.id == owner.user_id)
    with unit_of_work(engine) as session:
        session.execute(mine.values(name="half"))
        process = session.scalar(text("SELECT pg_backend_pid()"))
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:process)"), {"process": process})
        session.execute(mine.values(name="whole"))
