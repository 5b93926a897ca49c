"""What a failing database tells."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.db.session import unit_of_work


def test_a_failure_that_is_logged_holds_nothing_of_what_was_to_be_kept(engine: Engine) -> None:
    with pytest.raises(SQLAlchemyError) as caught, unit_of_work(engine) as session:
        session.execute(text("SELECT name FROM nowhere WHERE name = :name"), {"name": "a secret"})
    assert "nowhere" in str(caught.value)
    assert "a secret" not in str(caught.value)
