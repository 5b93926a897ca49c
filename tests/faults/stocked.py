"""A studio with rows that a trainer finds in the store."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, update

from app.config import Settings
from app.db.artifacts import Artifact
from app.db.session import unit_of_work
from app.main import make_studio
from app.services.accounts import Identity
from tests.databases import add_dataset


def add_rows(engine: Engine, home: Path, owner: Identity) -> str:
    """Make a ready dataset whose file lies in the store; return its id."""
    dataset_id = add_dataset(engine, owner)
    studio = make_studio(Settings(home=home))
    file = studio.incoming / "rows.parquet"
    file.write_bytes(b"rows")
    sealed = studio.storage.seal(file)
    studio.storage.put(sealed)
    studio.engine.dispose()
    with unit_of_work(engine) as session:
        session.execute(update(Artifact).values(sha256=sealed.sha256))
    return dataset_id
