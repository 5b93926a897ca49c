"""Everything a request needs that outlives it, and the services made from it and a session."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.db.artifacts import lock_store
from app.db.session import unit_of_work
from app.domain.ports import Brought
from app.domain.samples import Part
from app.services.baselines import Baselines
from app.services.bases import measures
from app.services.connections import Connections
from app.services.datasets import Datasets
from app.services.desk import Desk
from app.services.disk import Disks
from app.services.downloads import Downloads
from app.services.goals import Goals
from app.services.hub_models import HubLooks
from app.services.models import Models
from app.services.preflight import Preflights
from app.services.queues import Queues
from app.services.removal import Removal
from app.services.runs import Runs
from app.services.samples import Samples
from app.services.webhooks import Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from app.db import Dataset, Download
    from app.domain.architectures import Architecture
    from app.domain.catalog import Catalog
    from app.domain.datasets import Message
    from app.domain.ports import BaseModels, FetchedModels, Looker, ModelHub, Queue, Recipes, Secrets, Shelf, Storage
    from app.domain.samples import SampleFile
    from app.domain.sources import Source
    from app.services.accounts import Identity


@dataclass(frozen=True)
class Studio:
    """The parts of one running studio."""

    engine: Engine
    storage: Storage
    queue: Queue
    bases: BaseModels
    catalog: Catalog
    shelf: Shelf
    recipes: Recipes
    count_tokens: Callable[[Sequence[Message]], int]
    incoming: Path
    run_folders: Path
    max_upload_bytes: int
    local_owner: bool
    expects_workers: bool
    secrets: Secrets
    private_webhooks: bool
    looker: Looker
    hub: ModelHub
    fetched: FetchedModels
    private_fetches: bool

    @cached_property
    def disks(self) -> Disks:
        """The disks of this machine that the studio's things lie on."""
        places = {"store": self.incoming, "runs": self.run_folders.parent}
        database = self.engine.url.database if self.engine.dialect.name == "sqlite" else None
        return Disks(places | ({"database": Path(database).parent} if database else {}))

    @cached_property
    def preflights(self) -> Preflights:
        """What was seen of datasets as runs would learn from them."""
        return Preflights(self.engine, self.storage, self.queue, self.bases, self.looker)

    def datasets(self, session: Session) -> Datasets:
        """Return the datasets' service."""
        return Datasets(session, self.storage, self.queue)

    def desk(self, session: Session) -> Desk:
        """Return the data desk's service."""
        return Desk(session, self.storage, self.datasets(session))

    def runs(self, session: Session) -> Runs:
        """Return the runs' service."""
        return Runs(session, self.queue, self.datasets(session), self.bases, self.preflights, measures=partial(self.measures, session))

    def measures(self, session: Session, by: Identity, name: str) -> Architecture | None:
        """Return what a base measures as it is here, by the catalogue, or as the look knew that had it fetched; None: unknown."""
        return measures(self, name) or self.downloads(session).measures(by, name)

    def queues(self, session: Session) -> Queues:
        """Return the queues' service."""
        return Queues(session, self.queue)

    def removal(self, session: Session, is_answering: Callable[[str], bool]) -> Removal:
        """Return the service that deletes runs; `is_answering` says whether a model is at an answer just now."""
        return Removal(session, self.storage, self.run_folders, is_answering)

    def webhooks(self, session: Session) -> Webhooks:
        """Return the webhooks' service."""
        return Webhooks(session, self.secrets, private_allowed=self.private_webhooks)

    @cached_property
    def hub_looks(self) -> HubLooks:
        """Return the service that asks the Hub for models."""
        return HubLooks(self.engine, self.hub, self.secrets)

    def connections(self, session: Session) -> Connections:
        """Return the service of keys for what is outside."""
        return Connections(session, self.secrets, private_allowed=self.private_fetches)

    def downloads(self, session: Session) -> Downloads:
        """Return the downloads' service."""
        return Downloads(session, self.queue, self.fetched)

    def download(self, by: Identity, repo: str, revision: str | None = None) -> Download:
        """Look at a model of the Hub and have it fetched, in a unit of work of its own."""
        looked = self.hub_looks.look(by, repo, revision)
        with unit_of_work(self.engine) as session:
            return self.downloads(session).start(by, looked)

    def models(self, session: Session) -> Models:
        """Return the models' service."""
        return Models(session, self.storage, self.bases)

    def baselines(self, session: Session) -> Baselines:
        """Return the service of measurements before training."""
        folders = self.run_folders.parent / "baselines"
        return Baselines(session, self.queue, self.datasets(session), self.models(session), folders, recipes=self.recipes)

    def goals(self, session: Session) -> Goals:
        """Return the service of the project's goal."""
        return Goals(session)

    def samples(self, session: Session) -> Samples:
        """Return the samples' service."""
        return Samples(session, self.shelf)

    def bring(self, by: Identity, files: Sequence[Brought], *, name: str = "", to: str | None = None) -> Dataset:
        """Make a dataset of finished uploads, or add them `to` one, in a unit of work of its own; if that fails, nothing of them stays."""
        try:
            with unit_of_work(self.engine) as session:
                datasets = self.datasets(session)
                return datasets.append(by, to, files) if to else datasets.create(by, name=name.strip() or files[0].filename, files=files)
        finally:
            for file in files:
                file.path.unlink(missing_ok=True)

    def fetch(self, by: Identity, *, name: str, source: Source) -> Dataset:
        """Make a dataset that is fetched from outside, in a unit of work of its own."""
        with unit_of_work(self.engine) as session:
            return self.datasets(session).create_from(by, name=name.strip() or source.describe(), source=source)

    def add_sample(self, by: Identity, slug: str, part: Part = Part.TRAIN) -> tuple[Dataset, bool]:
        """Upload a sample and return its dataset, and whether it is new."""
        return self._take(by, self.shelf.file(slug, part))

    def add_recipe_sample(self, by: Identity, slug: str, *, rows: int | None = None, seed: int = 0) -> tuple[Dataset, bool]:
        """Upload a recipe's sample and return its dataset, and whether it is new."""
        return self._take(by, self.recipes.sample(slug, rows=rows, seed=seed))

    def _take(self, by: Identity, file: SampleFile) -> tuple[Dataset, bool]:
        """Upload a file that Hone brings itself, unless these rows are here unchanged: twice they would only confuse."""
        with tempfile.NamedTemporaryFile(dir=self.incoming, prefix="sample-", delete=False) as written:
            written.write(file.content)
        upload = Path(written.name)
        try:
            with unit_of_work(self.engine) as session:
                # Whoever clicks twice waits here, and then finds what the first click has made.
                lock_store(session)
                found = self.samples(session).taken(by, file)
                if found:
                    return found, False
                return self.datasets(session).create(by, name=file.name, files=[Brought(file.filename, upload)]), True
        finally:
            upload.unlink(missing_ok=True)
