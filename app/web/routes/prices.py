"""The price table: what is rented, what one's own electricity costs, and where the numbers are from."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.services.estimates import Estimates
from app.web.dependencies import Act, Look, Posted
from app.web.forms import Form
from app.web.prices_view import CARDS, form_of, lines_of, table_from
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)


@router.get("/prices")
def show_prices(visit: Look) -> Response:
    """Show the project's prices as a form."""
    return _shown(visit, form_of(Estimates(visit.session).prices(visit.identity)))


@router.post("/prices")
def set_prices(visit: Act, fields: Posted) -> Response:
    """Keep the prices, or show the form again with what is wrong beside its fields."""
    table, errors = table_from(fields)
    if table is None:
        return _shown(visit, Form(fields, errors), status=422)
    Estimates(visit.session).set_prices(visit.identity, table)
    return _shown(visit, form_of(table), saved=True) if visit.is_fragment else visit.go("/prices")


@router.post("/prices/reset")
def reset_prices(visit: Act) -> Response:
    """Go back to the prices that come with Hone."""
    Estimates(visit.session).forget_prices(visit.identity)
    return visit.go("/prices")


def _shown(visit: Visit, form: Form, *, saved: bool = False, status: int = 200) -> Response:
    own = Estimates(visit.session).has_own_prices(visit.identity)
    return visit.page("prices/prices.html", status=status, form=form, lines=lines_of(form), cards=CARDS, is_own=own, saved=saved)
