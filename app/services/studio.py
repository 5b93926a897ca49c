"""Everything a request needs that outlives it, and the services made from it and a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.db.session import unit_of_work
from app.services.datasets import Datasets
from app.services.models import Models
from app.services.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from app.db import Dataset
    from app.domain.datasets import Message
    from app.domain.ports import BaseModels, Queue, Storage
    from app.services.accounts import Identity


@dataclass(frozen=True)
class Studio:
    """The parts of one running studio."""

    engine: Engine
    storage: Storage
    queue: Queue
    bases: BaseModels
    count_tokens: Callable[[Sequence[Message]], int]
    incoming: Path
    run_folders: Path
    max_upload_bytes: int
    local_owner: bool
    expects_workers: bool

    def datasets(self, session: Session) -> Datasets:
        """Return the datasets' service."""
        return Datasets(session, self.storage, self.queue)

    def runs(self, session: Session) -> Runs:
        """Return the runs' service."""
        return Runs(session, self.queue, self.datasets(session), self.bases)

    def models(self, session: Session) -> Models:
        """Return the models' service."""
        return Models(session, self.storage, self.bases)

    def bring(self, by: Identity, *, name: str, filename: str, upload: Path) -> Dataset:
        """Make a dataset of a finished upload, in a unit of work of its own; if that fails, nothing of the upload stays."""
        try:
            with unit_of_work(self.engine) as session:
                return self.datasets(session).create(by, name=name.strip() or filename, filename=filename, upload=upload)
        finally:
            upload.unlink(missing_ok=True)

    def log_of(self, run_id: str) -> Path:
        """Return where a run's log lies, if it has begun."""
        return self.run_folders / run_id / "log.txt"
