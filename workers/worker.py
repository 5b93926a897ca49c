"""One worker process: who it is, what it may use, and its sign of life in the database."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from app.db import WorkerRow
from app.db.base import database_clock, utc_now
from app.db.session import UNREACHABLE, make_engine, reading, unit_of_work
from app.domain.devices import as_facts
from app.domain.ids import new_id
from app.gateways.lifeline import is_running, process_space
from app.gateways.stores import make_store
from app.services.workers import Workers
from workers.device_lock import DeviceLock
from workers.devices import DeviceWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from app.config import Settings
    from app.gateways.gpus import Gpu
    from app.gateways.stores import Store
    from workers.warm_trainers import WarmTrainers

log = structlog.get_logger()
SIGN_OF_LIFE_SECONDS = 5.0
"""So old may be what pages show of a device's memory, and a little more; with short leases it is a twelfth of one."""
SWEEPS_PER_LEASE = 4
"""How often the worker also looks for lost leases."""


@dataclass
class Worker:
    """What `claim_and_run` needs to know of the process it runs in."""

    settings: Settings
    queue: str
    slots: int
    grace_seconds: float
    engine: Engine
    storage: Store
    device: str
    has_gpu: bool
    gpu: str | None = None
    """The UUID of the one GPU this process works on."""
    id: str = field(default_factory=new_id)
    host: str = field(default_factory=socket.gethostname)
    leaving: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    """Set at its very end; until then what it holds is its own, and it says that it lives."""
    cleared: float = field(default_factory=time.monotonic)
    devices: DeviceWatch = field(init=False)
    device_lock: DeviceLock = field(init=False)
    wakes: list[threading.Event] = field(default_factory=list)
    is_rung: bool = False
    """Whether rings are heard; else it has to look by itself more often."""
    says: dict[str, Any] = field(default_factory=dict)
    """What its next sign of life tells besides."""
    warm: WarmTrainers | None = None
    """What keeps a trainer warm for its next run."""

    def __post_init__(self) -> None:
        self.devices = DeviceWatch(self.gpu, self.settings.home)
        self.device_lock = DeviceLock(self.gpu, self.slots)

    @property
    def lease_seconds(self) -> float:
        """Return for how long this worker's claims hold without a sign of life."""
        return self.settings.lease_seconds

    def register(self, sweep: Callable[[Worker], object]) -> None:
        """Enter the process into the list of workers, and begin to give signs of life and to sweep."""
        facts = {"slots": self.slots, "process_space": process_space(), "lease_seconds": self.lease_seconds}
        with unit_of_work(self.engine) as session:
            session.add(
                WorkerRow(
                    id=self.id, host=self.host, pid=os.getpid(), queue=self.queue, device=self.device,
                    has_gpu=self.has_gpu, facts=facts,
                )
            )  # fmt: skip
        self.devices.start(self.left)
        # Each in a thread of its own: a sweep may have gigabytes to read, and without signs of life a worker counts as dead.
        self._again_and_again("sign of life", self._give_sign, every=min(SIGN_OF_LIFE_SECONDS, self.lease_seconds / 12), until=self.left)
        self._again_and_again("sweep", partial(sweep, self), every=self.lease_seconds / SWEEPS_PER_LEASE, until=self.leaving)

    def ring(self) -> None:
        """Have every slot look for work at once."""
        for wake in self.wakes:
            wake.set()

    def tell_to_leave(self) -> None:
        """Have what runs keep what it has, and take nothing more."""
        self.leaving.set()
        self.ring()

    def note_device(self, *, is_free: bool) -> None:
        """Say why nothing is claimed while the device is not free."""
        pids = ", ".join(map(str, [] if is_free else self.device_lock.holders()))
        who = f" (process {pids})" if pids else ""
        self.says["waiting"] = None if is_free else f"{self.device} is not free yet: an earlier trainer still holds it{who}"

    @contextmanager
    def busy_with(self, work_id: str) -> Iterator[None]:
        """Say what this worker is at, for the time of a with block; of several things the last."""
        self._note_work(None, work_id)
        try:
            yield
        finally:
            self._note_work(work_id, None)

    def _note_work(self, earlier: str | None, work_id: str | None) -> None:
        # Only for people: a database that is away just now must not cost the work itself.
        with suppress(*UNREACHABLE), unit_of_work(self.engine) as session:
            row = session.get(WorkerRow, self.id)
            if row and earlier in (None, row.busy_with):
                row.busy_with = work_id

    def leave(self) -> None:
        """Strike the process off the list; where the database is away its silence says the same, a lease later."""
        self.left.set()
        try:
            with unit_of_work(self.engine) as session:
                row = session.get(WorkerRow, self.id)
                if row:
                    row.left_at, row.busy_with = utc_now(), None
        except UNREACHABLE as error:
            log.warning("the database does not answer; this worker leaves without a word", error=str(error))

    def _again_and_again(self, name: str, act: Callable[[], object], *, every: float, until: threading.Event) -> None:
        def go_on() -> None:
            while True:
                try:
                    act()
                except UNREACHABLE as error:
                    log.warning("the database does not answer; trying again", error=str(error))
                except Exception:
                    # The outer edge of this thread, which has to go on.
                    log.exception("what a worker does again and again failed", what=name)
                if until.wait(every):
                    return

        threading.Thread(target=go_on, name=name, daemon=True).start()

    def _give_sign(self) -> None:
        with unit_of_work(self.engine) as session:
            row = session.get(WorkerRow, self.id)
            if row:
                row.updated_at, row.facts = database_clock(), row.facts | self.says | as_facts(self.devices.latest)

    def dead_neighbours(self) -> list[str]:
        """Return workers of this very machine whose process is gone: their leases need not be waited for."""
        with reading(self.engine) as session:
            return Workers(session).dead(process_space(), is_running)


def make_worker(settings: Settings, queue: str, *, slots: int, grace_seconds: float, gpu: Gpu | None = None) -> Worker:
    """Return a worker of this process; nothing is registered yet."""
    device = gpu.name if gpu else f"CPU, {os.cpu_count()} cores"
    engine, storage = make_engine(settings.database), make_store(settings.store_address, settings.store, settings.cache_bytes)
    return Worker(settings, queue, slots, grace_seconds, engine, storage, device, gpu is not None, gpu.uuid if gpu else None)
