"""What a failing database tells."""

from __future__ import annotations

import sqlite3
import time

import psycopg
import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from app.db.accounts import User
from app.db.session import UNREACHABLE, in_words, make_engine, reading, unit_of_work
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


def test_a_table_that_is_not_there_is_no_database_that_is_away(engine: Engine) -> None:
    with pytest.raises(ProgrammingError, match="nowhere"), reading(engine) as session:
        session.execute(text("SELECT name FROM nowhere"))


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_transaction_that_was_idle_for_too_long_may_be_tried_again(engine: Engine) -> None:
    with pytest.raises(UNREACHABLE):
        be_idle(engine)
    with reading(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1


def be_idle(engine: Engine) -> None:
    """Do nothing in a transaction until PostgreSQL ends it."""
    with unit_of_work(engine) as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
        time.sleep(0.5)
        session.execute(text("SELECT 1"))


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_options_of_the_address_hold_beside_ours(engine: Engine) -> None:
    address = engine.url.update_query_dict({"options": "-c search_path=elsewhere -c lock_timeout=0"})
    mine = make_engine(address.render_as_string(hide_password=False))
    with reading(mine) as session:
        assert session.scalar(text("SHOW search_path")) == "elsewhere"
        assert session.scalar(text("SHOW lock_timeout")) == "4s"
    mine.dispose()


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
