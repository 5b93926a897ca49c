"""Devices that workers of a test's studio tell of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import WorkerRow
from app.db.session import unit_of_work
from app.domain.devices import Device, as_facts

if TYPE_CHECKING:
    from app.services.studio import Studio


def add_gpu(studio: Studio, name: str, total_bytes: float) -> None:
    """Let a worker be there that has this GPU."""
    card = Device(name=name, kind="gpu", total_bytes=int(total_bytes), used_bytes=0)
    with unit_of_work(studio.engine) as session:
        session.add(WorkerRow(host="cellar", pid=77, queue="gpu", device=name, has_gpu=True, facts=as_facts([card])))
