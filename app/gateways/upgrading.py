"""Changing an older database to this version's schema: a copy first, and words on where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from app.db.migrate import migrate
from app.gateways.backups import Backups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

HOW_BACK = "To go back: stop Hone, put that copy in the database's place, and start the version of before (docs/operating.md)."


class UpgradeFailed(Exception):
    """Why the database could not be changed, and where its copy lies."""


def bring_up_to_date(engine: Engine, backups: Backups | None, say: Callable[[str], None]) -> None:
    """Apply missing migrations; with `backups`, only after a copy of what they change was made and checked."""
    made: list[Path] = []

    def copy(older: str, newest: str) -> None:
        told = f"The database is changed from schema {older} to {newest}"
        if backups:
            made.append(backups.make(engine.url, older))
        say(f"{told}; as it was, it lies in {made[-1]}. {HOW_BACK}" if made else f"{told}, and no copy was made: --no-backup.")

    try:
        migrate(engine, copy)
    except DBAPIError as error:
        if not made:
            raise
        why = str(error.orig).strip().partition("\n")[0]
        message = f"The database could not be changed: {why}. As it was, it lies in {made[-1]}; the version of before runs on it."
        raise UpgradeFailed(message) from error
    if backups and made:
        # Only now: should a migration fail again and again, the copies from before it are the ones that count.
        backups.drop_old()
