"""Predicted against measured: every run that has ended beside what was foretold of it, and what was learned."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.services.predictions import record_of
from app.web.dependencies import Look
from app.web.predictions_view import Page

router = APIRouter(include_in_schema=False)


@router.get("/estimates")
def show_estimates(visit: Look) -> Response:
    """Show how good the estimates of this project's runs were."""
    return visit.page("estimates/estimates.html", page=Page(record_of(visit.session, visit.identity)))
