"""REST of prices: what computing costs a project, and what making its electricity emits."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import IdentityDep, ReadSession, WriteSession
from app.domain.prices import PriceTable
from app.services.estimates import Estimates

router = APIRouter(prefix="/api/v1/prices", tags=["estimates"])


@router.get("", operation_id="get_prices")
def get_prices(session: ReadSession, identity: IdentityDep) -> PriceTable:
    """Show the project's prices; those that come with Hone where it has set none."""
    return Estimates(session).prices(identity)


@router.put("", operation_id="set_prices")
def set_prices(session: WriteSession, identity: IdentityDep, body: PriceTable) -> PriceTable:
    """Set the project's prices, all of them: what is left out has the value that comes with Hone."""
    Estimates(session).set_prices(identity, body)
    return body


@router.delete("", status_code=204, operation_id="reset_prices")
def reset_prices(session: WriteSession, identity: IdentityDep) -> None:
    """Go back to the prices that come with Hone."""
    Estimates(session).forget_prices(identity)
