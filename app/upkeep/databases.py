"""Whether a studio's database is there, and what to tell where it does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

if TYPE_CHECKING:
    from app.config import Settings


def no_studio(settings: Settings) -> str:
    """Say that a home has no database yet, or nothing; asking for a SQLite file would make one."""
    url = make_url(settings.database)
    is_missing = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
    return f"There is no studio in {settings.home.resolve()} yet." if is_missing else ""


def away(settings: Settings) -> tuple[str, str]:
    """Say which database does not answer, and what to do."""
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite":
        return f"{url.database} cannot be read or written.", "See whose it is, what else uses it, and whether its disk is full."
    where = f"{url.host or 'localhost'}:{url.port or 5432}"
    return f"The database does not answer at {where}.", "Start it, or correct HONE_DATABASE_URL."
