"""The calculator of the API bill: what it is, against a model of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from app.db.base import utc_now
from app.domain.cloud_costs import CloudCosts, compare
from app.domain.datasets import DatasetStatus
from app.domain.errors import StudioError
from app.services.estimates import Estimates
from app.services.training_price import TrainingPrice, training_price
from app.web.cloud_costs_view import EXAMPLES, Bill, usual, with_training
from app.web.dependencies import Look
from app.web.forms import Form, messages_of
from app.web.precision_view import choices
from app.web.words import named

if TYPE_CHECKING:
    from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
MOST = 200
"""Datasets to choose from, the newest."""


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
    training = _training(visit, given, errors)
    bill = Bill(compare(with_training(asked, training)), prices.currency, utc_now().date(), training)
    ready = [dataset for dataset in visit.datasets.newest(visit.identity, limit=MOST).items if dataset.status == DatasetStatus.READY]
    return visit.page(
        "cloud_costs/cloud_costs.html", status=422 if errors else 200, form=Form(start | given, errors), bill=bill, examples=EXAMPLES,
        bases=choices(visit.studio, "None"), datasets=[("", "None"), *map(named, ready)],
    )  # fmt: skip


def _training(visit: Visit, given: dict[str, str], errors: dict[str, str]) -> TrainingPrice | None:
    """Return what training costs where a base and a dataset are chosen; what is wrong with them goes to the errors."""
    base_model, dataset_id = given.get("base_model", ""), given.get("dataset_id", "")
    if not base_model or not dataset_id:
        return None
    try:
        return training_price(visit.studio, visit.session, visit.identity, base_model=base_model, dataset_id=dataset_id)
    except StudioError as error:
        errors[error.param or "dataset_id"] = error.message
        return None
