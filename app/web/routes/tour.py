"""Leaving the tour."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse

from app.web import tour
from app.web.addresses import own_page
from app.web.dependencies import Caller, Posted

router = APIRouter(include_in_schema=False)


@router.post("/tour/leave")
def leave(request: Request, _: Caller, fields: Posted) -> RedirectResponse:
    """End the tour, and show the page one was on without it."""
    response = RedirectResponse(own_page(fields.get("page", "/")), 303)
    tour.keep(request, response, tour.LEFT)
    return response
