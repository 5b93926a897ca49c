"""REST of the sample datasets that come with Hone: list them, and take one in like an upload."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from app.api.datasets import DatasetCreated
from app.api.dependencies import IdentityDep, ReadSession, StudioDep
from app.domain.datasets import DatasetStatus
from app.domain.samples import Part, SampleCard

router = APIRouter(prefix="/api/v1/datasets/samples", tags=["datasets"])


class SampleOut(SampleCard):
    """A sample dataset, and what it has become here."""

    dataset_id: str | None = Field(description="The dataset of its rows to learn from, once it was added.")


class SampleList(BaseModel):
    """Every sample that comes with this version."""

    data: list[SampleOut]


@router.get("", operation_id="list_samples")
def list_samples(studio: StudioDep, session: ReadSession, identity: IdentityDep) -> SampleList:
    """List the sample datasets."""
    offers = studio.samples(session).offers(identity)
    return SampleList(data=[SampleOut(**card.model_dump(), dataset_id=dataset.id if dataset else None) for card, dataset in offers])


@router.post("/{slug}", status_code=201, operation_id="add_sample", responses={200: {"description": "It was there already."}})
def add_sample(
    studio: StudioDep, identity: IdentityDep, response: Response,
    slug: Annotated[str, Path(max_length=100, examples=["support-emails"])],
    part: Annotated[Part, Query(description="The rows to learn from, or those held out.")] = Part.TRAIN,
) -> DatasetCreated:  # fmt: skip
    """Add a sample as if its file were uploaded; a worker reads it. The same rows are not added twice: 200 with the dataset there is."""
    dataset, is_new = studio.add_sample(identity, slug, part)
    response.status_code = 201 if is_new else 200
    return DatasetCreated(id=dataset.id, name=dataset.name, status=DatasetStatus(dataset.status))
