"""What the database and the disks say, as families of numbers: read when somebody asks, so they count over all processes."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import and_, func, select

from app.db import EventRow, Run, WebhookDelivery
from app.db.base import database_time
from app.db.counters import LEASE_EXPIRED, RUN_STEPS, STALE_WRITE_REJECTED, counted
from app.db.session import reading
from app.domain.runs import RunStatus
from app.domain.webhooks import DeliveryStatus
from app.services.probe import Probe
from app.services.queues import TABLES
from app.services.waiting import BACK
from app.services.workers import Workers, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from prometheus_client.core import Metric
    from sqlalchemy.orm import Session

    from app.domain.devices import Device
    from app.services.studio import Studio
    from app.services.workers import Known

T = TypeVar("T")
log = structlog.get_logger()
PATIENCE_SECONDS = 4.0
"""For all that is asked together. Prometheus gives up after ten; by then what the process itself knows should have been said."""
COUNTERS = {
    RUN_STEPS: "Training steps done, those that were repeated after a crash counted again.",
    LEASE_EXPIRED: "Leases that ran out: a worker was lost, and its work went to another.",
    STALE_WRITE_REJECTED: "Writes refused because somebody else held the work by then.",
}


class StudioNumbers(Collector):
    """What the database and the disks say at the moment of asking; without the database, the rest."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._database = Probe(self._read)

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        database, disks = self._database.start(), self._studio.disks.ask()
        found = _answer("database", database, deadline) or []
        yield from found
        yield GaugeMetricFamily("hone_database_up", "Whether the database answered just now.", bool(found))
        free = GaugeMetricFamily("hone_disk_free_bytes", "Room left where this lies; on one disk, the same.", labels=["place"])
        size = GaugeMetricFamily("hone_disk_size_bytes", "Size of the disk it lies on.", labels=["place"])
        for place, asked in disks.items():
            if disk := _answer(place, asked, deadline):
                free.add_metric([place], disk.free)
                size.add_metric([place], disk.total)
        yield from (free, size)

    def _read(self) -> list[Metric]:
        with reading(self._studio.engine) as session:
            return [*_runs(session), *_counters(session), *_queues(session), *_workers(session), *_deliveries(session)]


def _answer(about: str, asked: Future[T], deadline: float) -> T | None:
    """Return what was answered in time; whatever keeps one from answering, the other numbers are there."""
    try:
        return asked.result(max(0.0, deadline - time.monotonic()))
    except Exception as error:  # noqa: BLE001 - as said
        log.warning("numbers could not be read", about=about, error=str(error) or type(error).__name__)
        return None


def _runs(session: Session) -> Iterator[Metric]:
    found = dict(session.execute(select(Run.status, func.count()).group_by(Run.status)).all())
    runs = GaugeMetricFamily("hone_runs", "Runs by state.", labels=["status"])
    for status in RunStatus:
        runs.add_metric([status], found.get(status, 0))
    yield runs


def _counters(session: Session) -> Iterator[Metric]:
    found = counted(session)
    for name, meaning in COUNTERS.items():
        yield CounterMetricFamily(f"hone_{name}", meaning, found.get(name, 0))


def _queues(session: Session) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("hone_queue_waiting", "Pieces of work that wait.", labels=["queue"])
    oldest = GaugeMetricFamily("hone_queue_oldest_seconds", "How long the oldest of them has waited.", labels=["queue"])
    since: dict[str, list[float]] = {queue: [] for queue in TABLES}
    for queue, moment in _waiting_since(session):
        since[queue].append(moment)
    now = database_time(session)
    for queue, moments in sorted(since.items()):
        waiting.add_metric([queue], len(moments))
        oldest.add_metric([queue], max(0.0, now - min(moments, default=now)))
    yield from (waiting, oldest)


def _waiting_since(session: Session) -> Iterator[tuple[str, float]]:
    """Yield each piece of work that waits: its queue, and since when."""
    # One that was resumed or handed back has not waited since it was made; and being renamed or moved is no end of waiting.
    back = and_(EventRow.subject_id == Run.id, EventRow.type.in_(BACK))
    begun = func.coalesce(func.max(EventRow.time), Run.created_at)
    runs = select(Run.queue, begun).join(EventRow, back, isouter=True).where(Run.status == RunStatus.QUEUED).group_by(Run.id)
    for queue, moment in session.execute(runs):
        yield queue, moment.timestamp()
    # What else waits is touched by nobody.
    for table in (table for tables in TABLES.values() for table in tables if table is not Run):
        others = select(table.queue, table.updated_at).where(table.status == RunStatus.QUEUED)
        yield from ((queue, moment) for queue, moment in session.execute(others))


def _workers(session: Session) -> Iterator[Metric]:
    known = Workers(session).known()
    found = Counter((one.row.queue, one.state) for one in known)
    workers = GaugeMetricFamily("hone_workers", "Worker processes by state; lost ones stay for a day.", labels=["queue", "state"])
    for queue in sorted(TABLES):
        for state in WorkerState:
            workers.add_metric([queue, state], found[queue, state])
    gpus = _gpus(known)
    yield from (workers, _gpu_memory(gpus), *_gpu_condition(gpus))


def _gpus(known: Sequence[Known]) -> dict[tuple[str, str], Device]:
    """Return every GPU that a living worker tells of, by its host and what the driver knows it by."""
    found = {
        (one.row.host, device.uuid or device.name): device
        for one in known
        if one.state != WorkerState.LOST
        for device in one.devices
        if device.kind == "gpu"
    }
    return dict(sorted(found.items()))


def _gpu_memory(gpus: Mapping[tuple[str, str], Device]) -> Metric:
    memory = GaugeMetricFamily(
        "hone_gpu_memory_bytes", "A GPU's memory as its worker saw it last: total, used by all, ours.", labels=["host", "device", "state"]
    )
    for (host, device), gpu in gpus.items():
        memory.add_metric([host, device, "total"], gpu.total_bytes)
        memory.add_metric([host, device, "used"], gpu.used_bytes)
        if gpu.ours_bytes is not None:
            memory.add_metric([host, device, "ours"], gpu.ours_bytes)
    return memory


def _gpu_condition(gpus: Mapping[tuple[str, str], Device]) -> Iterator[Metric]:
    warm = GaugeMetricFamily("hone_gpu_temperature_celsius", "How warm a GPU was when its worker saw it last.", labels=["host", "device"])
    power = GaugeMetricFamily("hone_gpu_power_watts", "What a GPU drew when its worker saw it last.", labels=["host", "device"])
    for labels, gpu in gpus.items():
        if gpu.temperature_c is not None:
            warm.add_metric(labels, gpu.temperature_c)
        if gpu.power_watts is not None:
            power.add_metric(labels, gpu.power_watts)
    yield from (warm, power)


def _deliveries(session: Session) -> Iterator[Metric]:
    found = dict(session.execute(select(WebhookDelivery.status, func.count()).group_by(WebhookDelivery.status)).all())
    deliveries = GaugeMetricFamily("hone_webhook_deliveries", "Notices to webhooks of the last 30 days, by state.", labels=["status"])
    for status in DeliveryStatus:
        deliveries.add_metric([status], found.get(status, 0))
    yield deliveries
