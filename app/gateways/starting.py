"""A process that cannot start says why in a sentence: the database away, a folder nobody may write to, tables of another version."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.db.migrate import is_current
from app.gateways.backups import NoBackup
from app.gateways.logs import without_secrets
from app.gateways.upgrading import UpgradeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


class CannotStart(Exception):
    """Why a process cannot start, in a sentence; what a library says of an address may hold a password, so none stays in it."""

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


@contextmanager
def starting() -> Iterator[None]:
    """Turn what commonly stands in the way of a start into CannotStart."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        message = f"The database cannot be used: {cause}. Is it there, and are HONE_HOME and HONE_DATABASE_URL right?"
        raise CannotStart(message) from error
    except CommandError as error:
        message = f"The database is not of this version of Hone: {error}"
        raise CannotStart(message) from error
    except (NoBackup, UpgradeFailed) as error:
        raise CannotStart(str(error)) from error
    except OSError as error:
        what = error.filename or "A file"
        message = f"{what} cannot be used: {error.strerror or error}. Choose another folder, or give this user the right to."
        raise CannotStart(message) from error
    except ValueError as error:
        raise CannotStart(str(error)) from error


def check_tables(engine: Engine) -> None:
    """Raise CannotStart unless the database has the tables of this version."""
    if not is_current(engine):
        message = "The database has not the tables of this version of Hone. Start `hone up` of the same version on it first."
        raise CannotStart(message)
