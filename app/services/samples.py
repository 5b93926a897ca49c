"""The sample datasets as a project sees them: which there are, and what became of them here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from app.db import Artifact, Dataset, DatasetFile
from app.domain.datasets import DatasetStatus
from app.domain.samples import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.domain.ports import Shelf
    from app.domain.samples import SampleCard, SampleFile
    from app.services.accounts import Identity


class Offer(NamedTuple):
    """A sample, and the dataset that was made of its rows to learn from, if there is one."""

    card: SampleCard
    dataset: Dataset | None


class Samples:
    """The samples beside a project's datasets."""

    def __init__(self, session: Session, shelf: Shelf) -> None:
        self.session, self.shelf = session, shelf

    def offers(self, by: Identity) -> Sequence[Offer]:
        """Return every sample with the dataset it has become."""
        return [Offer(card, self.taken(by, self.shelf.file(card.slug, Part.TRAIN))) for card in self.shelf.listed()]

    def taken(self, by: Identity, file: SampleFile) -> Dataset | None:
        """Return the newest dataset that was read from this very file and as it stands: another mapping or prompt makes it another's."""
        query = (
            select(Dataset)
            .join(DatasetFile, DatasetFile.dataset_id == Dataset.id)
            .join(Artifact, Artifact.id == DatasetFile.upload_id)
            .where(Dataset.project_id == by.project_id, Dataset.deleted_at.is_(None), Dataset.status != DatasetStatus.FAILED)
            .where(Artifact.sha256 == file.sha256)
            .order_by(Dataset.id.desc())
        )
        return next(
            (found for found in self.session.scalars(query) if not found.mapping and not found.system and len(found.files) == 1), None
        )
