"""Tuned models and bases by the name one asks for them with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import Run
from app.db.session import pause
from app.domain.base_models import is_hub_id
from app.domain.errors import Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from app.domain.ports import BaseModels, Storage
    from app.services.accounts import Identity


@dataclass(frozen=True)
class Served:
    """A model that can answer: its own folder or its base's, and with the latter its adapter's."""

    name: str
    base_dir: Path
    adapter_dir: Path | None

    def place(self) -> dict[str, str | None]:
        """Return the folders as the inference server wants them."""
        return {"base_dir": str(self.base_dir), "adapter_dir": str(self.adapter_dir) if self.adapter_dir else None}


class Models:
    """The models a project can ask."""

    def __init__(self, session: Session, storage: Storage, folders: BaseModels) -> None:
        self.session, self.storage, self.folders = session, storage, folders

    def tuned(self, by: Identity) -> Sequence[Run]:
        """Return the runs that made a model, newest first."""
        return self.session.scalars(self._made(by)).all()

    def newest_tuned(self, by: Identity) -> Run | None:
        """Return the run that made the newest model."""
        return self.session.scalar(self._made(by).limit(1))

    def names(self, by: Identity) -> list[tuple[str, datetime | None]]:
        """Return the name of every model one can ask, with the time it was made; bases first, those of tuned models among them."""
        tuned = self.tuned(by)
        bases = dict.fromkeys([base.name for base in self.folders.listed()] + [run.base_model for run in tuned])
        return [*((name, None) for name in bases), *((run.model or "", run.finished_at) for run in tuned)]

    def resolve(self, by: Identity, name: str) -> Served:
        """Return what answers to `name`: a tuned model of the project, the bundled base, a listed folder, or a tuned model's base."""
        mine = select(Run).where(Run.project_id == by.project_id, Run.adapter_id.is_not(None))
        run = self.session.scalar(mine.where(Run.model == name))
        if run is not None and run.adapter is not None:
            base = None if is_whole(run) else self.base_of(run)
            pause(self.session)
            made = self.storage.adapter_folder(run.adapter.sha256)
            return Served(name, made, None) if base is None else Served(name, base, made)
        listed = next((base.folder for base in self.folders.listed() if base.name == name), None)
        if listed is not None:
            return Served(name, listed, None)
        run = self.session.scalar(mine.where(Run.base_model == name).order_by(Run.id.desc()).limit(1))
        if run is not None:
            return Served(name, self.base_of(run), None)
        message = f"The model {name[:200]!r} does not exist here, or is not yours."
        raise NotFound(message, param="model", code="model_not_found")

    def base_of(self, run: Run) -> Path:
        """Return the folder of a run's base."""
        known = self._known(run)
        # Its adapter belongs to the commit it was trained on, also when a later one has been fetched since.
        folder = known if known and is_hub_id(run.base_model) else self.folders.find(run.base_model).folder or known
        if folder is None:
            message = f"The base {run.base_model} is not on this machine any more. Download it again."
            raise Invalid(message, param="model", code="unknown_model")
        return folder

    def _made(self, by: Identity) -> Select[Run]:
        made = select(Run).where(Run.project_id == by.project_id, Run.model.is_not(None), Run.adapter_id.is_not(None))
        return made.order_by(Run.id.desc())

    def _known(self, run: Run) -> Path | None:
        """Return where the base lay when the run trained from it, if it is there still."""
        folder = run.facts.get("base_dir")
        return Path(folder) if folder and Path(folder).is_dir() else None


def is_whole(run: Run) -> bool:
    """Return whether a run's model is one of its own rather than an adapter beside its base."""
    return bool(run.spec.get("settings", {}).get("tuning") == "full")
