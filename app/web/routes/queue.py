"""What one may do about a waiting run on its own page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ValidationError
from starlette.responses import Response

from app.domain.errors import Invalid
from app.domain.labels import RunChange
from app.domain.queueing import Move, To
from app.web.dependencies import Act, Posted

router = APIRouter(include_in_schema=False)


@router.post("/runs/{run_id}/queue")
def change_place(visit: Act, run_id: Annotated[str, Path(max_length=64)], fields: Posted) -> Response:
    """Put a waiting run to the front of its queue, or give it another priority."""
    if "first" in fields:
        visit.queues.move(visit.identity, run_id, Move(to=To.FIRST))
        return visit.go(f"/runs/{run_id}")
    try:
        change = RunChange.model_validate({"priority": fields.get("priority", "")})
    except ValidationError:
        message = "Choose high, normal or low."
        raise Invalid(message, param="priority") from None
    visit.runs.change(visit.identity, run_id, change)
    return visit.go(f"/runs/{run_id}")
