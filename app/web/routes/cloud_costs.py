"""The calculator of the API bill: what it is, against a model of one's own."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from app.db.base import utc_now
from app.domain.cloud_costs import CloudCosts, compare
from app.services.estimates import Estimates
from app.web.cloud_costs_view import EXAMPLES, Bill, usual
from app.web.dependencies import Look
from app.web.forms import Form, messages_of

router = APIRouter(include_in_schema=False)


@router.get("/cloud-costs")
def show_cloud_costs(visit: Look) -> Response:
    """Show the API's bill beside an own model's; a field that means nothing is said, and its usual value taken."""
    prices = Estimates(visit.session).prices(visit.identity)
    given = {name: value.strip() for name, value in visit.request.query_params.items() if value.strip()}
    start = usual(prices)
    try:
        asked, errors = CloudCosts.model_validate(start | given), {}
    except ValidationError as error:
        errors = messages_of(error)
        asked = CloudCosts.model_validate(start | {name: value for name, value in given.items() if name not in errors})
    bill = Bill(compare(asked), prices.currency, utc_now().date())
    return visit.page(
        "cloud_costs/cloud_costs.html", status=422 if errors else 200, form=Form(start | given, errors), bill=bill, examples=EXAMPLES
    )
