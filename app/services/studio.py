"""Everything a request needs that outlives it, and the services made from it and a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.services.datasets import Datasets
from app.services.models import Models
from app.services.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from app.domain.datasets import Message
    from app.domain.ports import BaseModels, Queue, Storage


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
    is_loopback: bool
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

    def log_of(self, run_id: str) -> Path:
        """Return where a run's log lies, if it has begun."""
        return self.run_folders / run_id / "log.txt"
