"""Workers and their devices as pages show them: what they do, when they were heard of last, whose the memory is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.devices import Device, Disk
from app.domain.figures import in_bytes
from app.services.workers import LATE_SECONDS, Known, WorkerState
from app.web import looks, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db import WorkerRow
    from app.web.looks import Look
    from app.web.visit import Visit

HOT_C = 85.0
"""From here on most GPUs slow down to cool."""
QUEUES = {"gpu": "training", "cpu": "reading files"}


@dataclass(frozen=True)
class Memory:
    """A device's memory as a bar of a hundred parts, and in words."""

    device: Device
    holder: str
    shows_disk: bool = False

    @property
    def name(self) -> str:
        """What the device is called; a machine by its processor, where its worker told of it."""
        device = self.device
        return f"{device.processor}, {words.plural(device.cores, 'core')}" if device.processor and device.cores else device.name

    @property
    def at_work(self) -> str:
        """How busy and warm it is and what it draws, as far as anybody counts."""
        device = self.device
        said = [] if device.utilisation is None else [f"{100 * device.utilisation:.0f} % in use"]
        said += [self.heat] if self.heat else []
        if device.power_watts is not None:
            limit = "" if device.power_limit_watts is None else f" of {device.power_limit_watts:.0f}"
            said.append(f"{device.power_watts:.0f}{limit} W")
        return ", ".join(said)

    @property
    def heat(self) -> str:
        """How warm it is, where its driver says so."""
        warm = self.device.temperature_c
        return "" if warm is None else f"{warm:.0f} °C{', hot' if self.is_hot else ''}"

    @property
    def is_hot(self) -> bool:
        """Whether it is so warm that it may slow down."""
        return (self.device.temperature_c or 0) >= HOT_C

    @property
    def disk(self) -> Disk | None:
        """The disk runs are kept on; of several workers on a machine only the first shows it."""
        return self.device.disk if self.shows_disk else None

    @property
    def disk_used(self) -> float:
        """How much of the disk's bar is taken."""
        disk = self.device.disk
        return round(100 * disk.used / disk.total_bytes, 1) if disk and disk.total_bytes else 0.0

    @property
    def ours(self) -> float:
        """How much of the bar this worker holds."""
        return self._part(self.device.held_by_us)

    @property
    def others(self) -> float:
        """How much of the bar others hold."""
        return self._part(self.device.held_by_others)

    @property
    def in_words(self) -> str:
        """Who holds how much."""
        device = self.device
        if device.ours_bytes is None:
            return f"{in_bytes(device.held)} used by all, {in_bytes(device.free)} free"
        held = f"{in_bytes(device.held_by_us)} {self.holder}, {in_bytes(device.held_by_others)} others"
        return f"{held}, {in_bytes(device.free)} free"

    @property
    def briefly(self) -> str:
        """The same for a glance from afar."""
        device = self.device
        ours = "" if device.ours_bytes is None else f", {in_bytes(device.held_by_us)} {self.holder}"
        heat = f", {self.heat}" if self.heat else ""
        return f"{in_bytes(device.held)} of {in_bytes(device.total_bytes)}{ours}{heat}"

    @property
    def exact(self) -> str:
        """The same in bytes, for whoever wants to know exactly."""
        device = self.device
        ours = "not told by the driver" if device.ours_bytes is None else f"{device.held_by_us:,} bytes"
        return (
            f"{self.holder}: {ours}; others: {device.held_by_others:,} bytes; free: {device.free:,} bytes; "
            f"in all: {device.total_bytes:,} bytes"
        )

    def _part(self, held: int) -> float:
        return round(100 * held / self.device.total_bytes, 1) if self.device.total_bytes else 0.0


@dataclass(frozen=True)
class Line:
    """One worker in a list."""

    known: Known
    runs: dict[str, str]
    """The names of the runs it holds, those of this project, by their ids."""
    is_first: bool = True
    """Whether no worker before it in the list lives on its machine."""

    @property
    def worker(self) -> WorkerRow:
        """Its row."""
        return self.known.row

    @property
    def silent(self) -> float:
        """How long ago its last sign of life was."""
        return self.known.silent_seconds

    @property
    def is_late(self) -> bool:
        """Whether its silence is worth a word."""
        return self.silent > LATE_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether what it held goes to another worker."""
        return self.known.state == WorkerState.LOST

    @property
    def heard(self) -> str:
        """Its last sign of life in words."""
        if self.is_lost:
            return f"lost: no sign of life for {words.span(self.silent)}"
        return f"silent for {words.span(self.silent)}" if self.is_late else f"{words.span(self.silent)} ago"

    @property
    def queue(self) -> str:
        """What it takes work from, in words."""
        return QUEUES.get(self.worker.queue, self.worker.queue)

    @property
    def does(self) -> str:
        """What it takes work from and how much at once, in words."""
        return self.queue if self.known.slots == 1 else f"{self.queue}, {self.known.slots} at once"

    @property
    def look(self) -> Look:
        """Its state as shown."""
        return looks.WORKER_LOOKS[self.known.state]

    @property
    def memory(self) -> list[Memory]:
        """Its devices' memory; of a lost worker nobody knows."""
        holder = "this run" if self.runs else "this worker"
        return [] if self.is_lost else [Memory(device, holder, self.is_first) for device in self.known.devices]


def read(visit: Visit) -> list[Line]:
    """Return the workers there are, with what each is busy with."""
    known = visit.workers.known()
    names = visit.overview.run_names(visit.identity, [run_id for one in known for run_id in one.work_ids])
    first: dict[str, str] = {}
    for one in known:
        first.setdefault(one.row.host, one.row.id)
    return [
        Line(one, {run_id: names[run_id] for run_id in one.work_ids if run_id in names}, first[one.row.host] == one.row.id) for one in known
    ]


def alive(lines: Sequence[Line]) -> int:
    """Return how many of some workers live."""
    return sum(not line.is_lost for line in lines)
