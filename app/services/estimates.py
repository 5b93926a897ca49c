"""What runs will take on the devices there are and on rented ones, at the project's prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from app.db import Project
from app.db.audit import note
from app.db.prices import PriceList
from app.domain.accelerators import of_device
from app.domain.estimates import Estimate, Target, rented, side_by_side
from app.domain.packs import Work
from app.domain.prices import PriceTable
from app.domain.quotes import MOST_CHECKED, Quote, work_of_examples
from app.services.predictions import learned_devices
from app.services.workers import Workers, devices_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from app.db import DatasetVersion
    from app.domain.architectures import Architecture
    from app.domain.preflight import Preflight
    from app.domain.specs import TrainingSettings
    from app.services.accounts import Identity


def work_of(version: DatasetVersion, settings: TrainingSettings, training_rows: int) -> Work:
    """Return what a run over a dataset's rows computes: their tokens as they were counted when the rows were looked at.

    They were counted with the bundled tokenizer, so another base's are somewhat fewer or more; where nobody has counted, they are assumed.
    """
    steps = settings.total_steps(training_rows)
    eval_rows = min(MOST_CHECKED, version.test_rows)
    found, answers = _counted(version)
    if not found:
        return work_of_examples(training_rows, None, settings)[0].model_copy(update={"eval_rows": eval_rows})
    mean = mean_length(found["bins"], found["sum"], settings.max_length)
    return Work(
        rows=training_rows, steps=steps, mean_tokens=mean, longest_tokens=min(found["max"], settings.max_length), eval_rows=eval_rows,
        trained_share=min(1.0, answers["sum"] / found["sum"]) if answers else 0.5,
    )  # fmt: skip


def assumed_lengths(version: DatasetVersion, work: Work) -> str:
    """Return in a sentence that a dataset's tokens are assumed; empty where they were counted."""
    return "" if _counted(version)[0] else f"Nobody has counted this dataset's tokens yet: {work.mean_tokens:,.0f} a row are assumed."


def _counted(version: DatasetVersion) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was counted of the tokens of rows and of their answers; nothing where nobody has, or there were none."""
    counted = version.findings.get("tokens", {})
    row = counted.get("row") or {}
    return (row if row.get("sum") else {}), counted.get("answer") or {}


def mean_length(bins: Sequence[Sequence[int]], total: int, cut: int) -> float:
    """Return the mean length of rows that are cut, from their histogram; of rows in one bin all have its middle length."""
    rows = sum(many for *_, many in bins)
    beyond = sum(max(0.0, (low + high - 1) / 2 - cut) * many for low, high, many in bins)
    return min(float(cut), max(1.0, (total - beyond) / max(1, rows)))


def as_seen(work: Work, found: Preflight) -> Work:
    """Return the work with the lengths that a look at the rows has counted: as the base's own tokenizer and template have them."""
    spread = found.tokens
    if spread is None or not found.counts.rows:
        return work
    return work.model_copy(
        update={
            "mean_tokens": mean_length(spread.bins, spread.sum, found.max_length), "longest_tokens": min(spread.max, found.max_length),
            "trained_share": found.trained_share, "computed_share": 1.0 - found.shared_prefix.steps,
        }
    )  # fmt: skip


class Estimates:
    """Estimates of runs for one project."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def prices(self, by: Identity) -> PriceTable:
        """Return the project's prices; those that come with Hone where it has set none."""
        row = self._row(by)
        return PriceTable.model_validate(row.entries) if row else PriceTable()

    def targets(self, by: Identity) -> list[Target]:
        """Return where a run of this project could go: the workers' devices, then what can be rented."""
        return [*self._own(), *rented(self.prices(by))]

    def _own(self) -> Iterator[Target]:
        known = learned_devices(self.session)
        for device in devices_here(Workers(self.session).known()):
            rates, startup = known.get(device.name) or ({}, None)
            yield Target(
                f"own:{device.name}", device.name, of_device(device), 1, None, None, is_own=True, learned=rates, startup=startup
            )  # fmt: skip

    def quote(self, by: Identity, name: str, planned: tuple[Architecture, TrainingSettings, Work], assumptions: Sequence[str]) -> Quote:
        """Return what a run takes on each target, written out."""
        arch, settings, work = planned
        return Quote.of(
            model=name, arch=arch, settings=settings, work=work, estimates=self.price(by, *planned), prices=self.prices(by),
            assumptions=assumptions,
        )  # fmt: skip

    def set_prices(self, by: Identity, table: PriceTable) -> None:
        """Keep a project's prices."""
        row = self._row_to_change(by)
        if row is None:
            row = PriceList(project_id=by.project_id, created_by=by.user_id)
            self.session.add(row)
        row.entries = table.model_dump(mode="json")
        self.session.flush()
        note(self.session, by.project_id, by.user_id, "prices.changed", row.id)

    def has_own_prices(self, by: Identity) -> bool:
        """Return whether the project has set prices."""
        return self._row(by) is not None

    def forget_prices(self, by: Identity) -> None:
        """Go back to the prices that come with Hone."""
        row = self._row_to_change(by)
        if row:
            note(self.session, by.project_id, by.user_id, "prices.forgotten", row.id)
            self.session.delete(row)
            self.session.flush()

    def _row(self, by: Identity) -> PriceList | None:
        return self.session.scalar(select(PriceList).where(PriceList.project_id == by.project_id))

    def _row_to_change(self, by: Identity) -> PriceList | None:
        # Two who change them at once come one after the other, or both would enter a list, or one change what the other has dropped.
        self.session.execute(select(Project.id).where(Project.id == by.project_id).with_for_update())
        return self._row(by)

    def price(self, by: Identity, arch: Architecture, settings: TrainingSettings, work: Work) -> list[Estimate]:
        """Return what a run takes on each target, in the order of `side_by_side`."""
        return side_by_side(arch, settings, work, self.targets(by), self.prices(by))
