"""REST of the calculator: what an API's bill is, against a model of one's own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.dependencies import IdentityDep, ReadSession
from app.domain.cloud_costs import CloudCosts, Verdict, api_call, at_prices, busiest_hour, calls_to_be_worth_it, compare
from app.services.estimates import Estimates

router = APIRouter(prefix="/api/v1/estimates/cloud-costs", tags=["estimates"])


class MonthOut(BaseModel):
    """One month; money in the unit of the prices that were given."""

    month: int = Field(description="1 is the first.")
    calls: float
    machines: int = Field(description="Needed in its busiest hour.")
    api: float = Field(description="The API's bill.")
    own: float = Field(description="What is paid for the own model, machines bought in this month included.")
    api_so_far: float
    own_so_far: float = Field(description="What it cost before its first answer included.")


class CloudCostsOut(BaseModel):
    """An API's bill against a model of one's own."""

    asked: CloudCosts = Field(description="What it was worked out with; what was left out has an example's value.")
    verdict: Verdict = Field(
        description="breaks_even: paid back in the months looked at; later: cheaper in a usual month only; never: the API is cheaper; "
        "no_bill: the API costs nothing."
    )
    break_even_month: int | None = Field(description="By the end of which month the own model has cost no more, for good.")
    api_call: float = Field(description="What one call costs.")
    own_monthly: float = Field(description="A usual month of the own model, machines that are bought counted in equal parts.")
    busiest_hour_machines: float = Field(description="How many machines the busiest hour of the first month keeps at work.")
    calls_to_be_worth_it: float | None = Field(
        description="From how many calls a month on an own model's usual month costs no more; null: no number suffices."
    )
    saved: float = Field(description="By the end of the last month; negative: the own model has cost more.")
    months: list[MonthOut]


@router.get("", operation_id="compare_cloud_costs")
def compare_cloud_costs(session: ReadSession, identity: IdentityDep, asked: Annotated[CloudCosts, Query()]) -> CloudCostsOut:
    """Work out an API's bill and an own model's costs month by month, and when the one has paid for the other. Nothing is kept.

    Without `hourly` and `kwh_price` the project's own prices are taken: of what it knows to rent the cheapest.
    """
    asked = at_prices(asked, Estimates(session).prices(identity))
    found = compare(asked)
    return CloudCostsOut(
        asked=asked, verdict=found.verdict, break_even_month=found.break_even, api_call=api_call(asked), own_monthly=found.own_monthly,
        busiest_hour_machines=busiest_hour(asked, asked.calls), calls_to_be_worth_it=calls_to_be_worth_it(asked), saved=found.saved,
        months=[MonthOut(month=month.number, **{name: getattr(month, name) for name in MonthOut.model_fields if name != "month"})
                for month in found.months],
    )  # fmt: skip
