"""What runs will take on the devices there are and on rented ones, at the project's prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db.prices import PriceList
from app.domain.accelerators import of_device
from app.domain.estimates import Estimate, Target, rented, side_by_side
from app.domain.memory_estimate import Work
from app.domain.prices import PriceTable
from app.domain.time_estimate import published
from app.services.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from app.db import DatasetVersion
    from app.domain.architectures import Architecture
    from app.domain.specs import TrainingSettings
    from app.domain.time_estimate import Throughput
    from app.services.accounts import Identity

ASSUMED_TOKENS = 256.0
"""Of a row whose tokens nobody has counted."""
LETTERS_PER_TOKEN = 4.0


def work_of(version: DatasetVersion, settings: TrainingSettings, training_rows: int) -> Work:  # noqa: ARG001 - its tokens come with it
    """Return what a run over a dataset's rows computes."""
    mean = min(ASSUMED_TOKENS, settings.max_length)
    return Work(rows=training_rows, steps=settings.total_steps(training_rows), mean_tokens=mean, longest_tokens=settings.max_length)


class Estimates:
    """Estimates of runs for one project."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def prices(self, by: Identity) -> PriceTable:
        """Return the project's prices; those that come with Hone where it has set none."""
        row = self.session.scalar(select(PriceList).where(PriceList.project_id == by.project_id))
        return PriceTable.model_validate(row.entries) if row else PriceTable()

    def throughputs(self) -> dict[str, Throughput]:
        """Return what past runs have shown of devices, by the device's name."""
        return {}

    def targets(self, by: Identity) -> list[Target]:
        """Return where a run of this project could go: the workers' devices, then what can be rented."""
        return [*self._own(), *rented(self.prices(by))]

    def _own(self) -> Iterator[Target]:
        learned = self.throughputs()
        seen: set[str] = set()
        for worker in Workers(self.session).known():
            for device in worker.devices if worker.row.queue == "gpu" else ():
                if device.name in seen:
                    continue
                seen.add(device.name)
                accelerator = of_device(device)
                rate = learned.get(device.name) or published(accelerator)
                yield Target(f"own:{device.name}", device.name, accelerator, 1, None, None, is_own=True, throughput=rate)

    def price(self, by: Identity, arch: Architecture, settings: TrainingSettings, work: Work) -> list[Estimate]:
        """Return what a run takes on each target, those that hold it first, the cheapest of them before others."""
        return side_by_side(arch, settings, work, self.targets(by), self.prices(by))
