"""What training a base on a dataset would cost where it costs least, for whoever compares it with what an API costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.domain.datasets import DatasetStatus
from app.domain.errors import Conflict, Invalid
from app.domain.specs import RunRequest, parse_settings
from app.services.estimates import Estimates, work_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity
    from app.services.studio import Studio


class TrainingPrice(NamedTuple):
    """An amount in the currency of the project's prices, and what it is for with how it comes about."""

    amount: float
    arithmetic: str


def training_price(studio: Studio, session: Session, by: Identity, *, base_model: str, dataset_id: str) -> TrainingPrice:
    """Return the estimate on the device that heads the list (`side_by_side`), with the usual settings; nothing is launched."""
    arch = studio.measures(session, by, base_model)
    if arch is None:
        raise Invalid(f"Nobody here knows the measures of {base_model[:200]!r}.", param="base_model", code="unknown_model")
    dataset = studio.datasets(session).get(by, dataset_id)
    if dataset.status != DatasetStatus.READY or dataset.version is None:
        raise Conflict("The dataset has no rows yet.", param="dataset_id", code="dataset_not_ready")
    settings = parse_settings(RunRequest(name="estimate", base_model=base_model, dataset_id=dataset_id))
    found = Estimates(session).price(by, arch, settings, work_of(dataset.version, settings, dataset.version.train_rows))
    best = next(iter(found), None)
    if best is None or best.memory.fits == "no" or best.money.amount is None:
        raise Invalid("None of the devices whose price is known holds this run.", param="base_model", code="does_not_fit")
    return TrainingPrice(best.money.amount, f"training on {dataset.name} with {best.target.label}: {best.money.arithmetic}")
