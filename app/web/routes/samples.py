"""Taking in a sample dataset by a click."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import RedirectResponse

from app.domain.errors import Invalid
from app.domain.samples import Part
from app.web.dependencies import Caller, Posted, studio_of

router = APIRouter(include_in_schema=False)


@router.post("/datasets/samples/{slug}")
def add_sample(request: Request, caller: Caller, slug: Annotated[str, Path(max_length=100)], fields: Posted) -> RedirectResponse:
    """Add a sample like an upload, or lead to where it is already."""
    wanted = fields.get("part", Part.TRAIN)
    if wanted not in set(Part):
        raise Invalid("A sample has two parts: train and test.", param="part")
    dataset, _ = studio_of(request).add_sample(caller, slug, Part(wanted))
    return RedirectResponse(f"/datasets/{dataset.id}", 303)
