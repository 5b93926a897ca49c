"""The precision explorer: a model at every precision, and what a precision does to a number."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from app.domain.rounding import Block
from app.web.dependencies import Look
from app.web.forms import Form, messages_of
from app.web.precision_view import USUAL, Asked, Explored, choices, named, sized
from app.web.rounding_view import Idea

router = APIRouter(include_in_schema=False)


@router.get("/precision")
def show_precision(visit: Look) -> Response:
    """Show what a model takes at each level and where it fits; a field that means nothing is said, and its default shown."""
    fields = {name: value for name, value in visit.request.query_params.items() if value}
    try:
        asked, errors = Asked.model_validate(fields), {}
    except ValidationError as error:
        errors = messages_of(error)
        asked = Asked.model_validate({name: value for name, value in fields.items() if name not in errors})
    model = named(visit.studio, asked.model) if asked.model else None
    if asked.model and model is None:
        errors = errors | {"model": "There is no such model here, or nobody knows how large it is."}
    return visit.page(
        "precision/precision.html", status=422 if errors else 200, form=Form(USUAL | fields, errors),
        choices=choices(visit.studio, "Any, by its parameters"), seen=Explored(model or sized(asked.params), asked.context),
        idea=Idea(Block.around(asked.weight, asked.largest)),
    )  # fmt: skip
