"""Checkpoints on their way into the store, where other machines can take a run over: packed and sent beside the relaying of events."""

from __future__ import annotations

import fcntl
import os
import shutil
import tarfile
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app.db.artifacts import remove
from app.db.session import UNREACHABLE
from app.domain.checkpoints import MANIFEST, CheckpointBroken, Manifest, verify
from app.domain.errors import NotFound, StorageUnavailable, StudioError
from app.domain.events import Checkpoint, Notice
from app.domain.ports import Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.domain.events import AnyEvent
    from workers.worker import Worker

log = structlog.get_logger()
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""For so long the end of a run waits for a store that takes nothing; then its last checkpoint lies on this machine alone."""


class PackedCheckpoint(Checkpoint):
    """Word that a checkpoint is now also in the store."""

    packed: Sealed


class Packing:
    """What one hold sends into the store; where no store is named, nothing.

    A newer checkpoint takes the place of one that still waits.
    """

    def __init__(self, worker: Worker, work_id: str, token: int) -> None:
        self.worker, self.folder, self.name = worker, worker.settings.runs / work_id, f"checkpoint-{work_id}-t{token}"
        self.log = log.bind(run=work_id, token=token)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._waiting: Checkpoint | None = None
        self._under_way: Checkpoint | None = None
        self._failing = False
        self._ready: list[AnyEvent] = []

    def through(self, events: Sequence[AnyEvent]) -> list[AnyEvent]:
        """Begin to send the checkpoints among events; return all of them, and after them word of those that have got there."""
        if not self.worker.settings.storage_url:
            return list(events)
        with self._lock:
            for event in events:
                if isinstance(event, Checkpoint):
                    self._wait_for(event)
            ready, self._ready = self._ready, []
        return [*events, *ready]

    def rest(self, may_wait: Callable[[], bool]) -> list[AnyEvent]:
        """Return word of what still gets there, waiting for it; not for long where the store takes nothing."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._under_way and may_wait() and not (self._failing and time.monotonic() > deadline):
            time.sleep(LOOK_SECONDS)
        with self._lock:
            self._closed.set()
            ready, self._ready = self._ready, []
        return ready

    def close(self, unwritten: Sequence[AnyEvent] = ()) -> None:
        """Send nothing any more, and let go of what got there and was never entered; what is under way goes by itself."""
        with self._lock:
            self._closed.set()
            left, self._ready = [*unwritten, *self._ready], []
        for event in left:
            if isinstance(event, PackedCheckpoint):
                discard(self.worker, event.packed)

    def _wait_for(self, event: Checkpoint) -> None:
        if self._under_way:
            self._waiting = event
        else:
            self._under_way = event
            threading.Thread(target=copy_context().run, args=(self._send_all, event), name="packing", daemon=True).start()

    def _send_all(self, first: Checkpoint) -> None:
        event: Checkpoint | None = first
        try:
            while event and not self._closed.is_set():
                reached = self._send(event)
                event = self._next(event, reached)
                if not reached:
                    self._closed.wait(AGAIN_SECONDS)
        except Exception:
            # The outer edge of this thread: nobody may wait for it, and the next checkpoint begins another.
            self.log.exception("checkpoints could not be packed")
            with self._lock:
                self._under_way = self._waiting = None

    def _next(self, event: Checkpoint, reached: PackedCheckpoint | None) -> Checkpoint | None:
        """Return what is to be sent now: one that did not get there again, unless a newer one waits or it was let go of."""
        with self._lock:
            if self._closed.is_set():
                if reached:
                    discard(self.worker, reached.packed)
                return None
            if reached:
                self._ready.append(reached)
                self._failing = False
            if reached or self._waiting or self._is_gone(event):
                self._under_way, self._waiting = self._waiting, None
            return self._under_way

    def _is_gone(self, event: Checkpoint) -> bool:
        """Return whether newer ones took its place on the disk before it was packed."""
        return not (self.folder / event.path).is_dir()

    def _send(self, event: Checkpoint) -> PackedCheckpoint | None:
        target = self.worker.storage.incoming / f"{self.name}-{event.step}.tar"
        try:
            pack(self.folder / event.path, target)
            sealed = self.worker.storage.seal(target)
        except (StudioError, OSError) as error:
            target.unlink(missing_ok=True)
            if not self._is_gone(event):
                self._tell(event, error)
            return None
        return PackedCheckpoint(step=event.step, path=event.path, packed=sealed)

    def _tell(self, event: Checkpoint, error: Exception) -> None:
        self.log.warning("a checkpoint did not get into the store", step=event.step, why=str(error))
        message = f"The checkpoint of step {event.step} did not get into the store and is tried again: {error}"
        with self._lock:
            if not self._failing:  # and whoever sees that it fails finds the words, too
                self._failing = True
                self._ready.append(Notice(message=message))


def discard(worker: Worker, sealed: Sealed) -> None:
    """Let go of a sealed file that is not needed any more: of what the store has of it, too, unless a row names it."""
    sealed.path.unlink(missing_ok=True)
    withdraw(worker, sealed)


def withdraw(worker: Worker, sealed: Sealed) -> None:
    """Take out of the store what sealing has brought there, unless a row names it."""
    try:
        remove(worker.engine, worker.storage, sealed.sha256)
    except (StorageUnavailable, OSError, *UNREACHABLE) as error:
        log.warning("a file that no row names stays in the store for now", sha256=sealed.sha256, why=str(error))


def pack(folder: Path, target: Path) -> None:
    """Write a checkpoint's folder as a plain tar: weights do not get smaller by compression.

    What its manifest lists has to be there: the folder may be going just now.
    """
    listed = Manifest.model_validate_json((folder / MANIFEST).read_bytes()).files
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted([MANIFEST, *listed]):
            archive.add(folder / name, arcname=name, recursive=False)


def unpack(packed: Path, folder: Path) -> None:
    """Put a packed checkpoint where it lay on the machine that wrote it: whole, or not at all.

    One that is whole there stays: an attempt that was called off may come late, when the next one goes on from it already.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".fetched-"))
    try:
        with tarfile.open(packed) as archive:
            archive.extractall(part, filter="data")
        with _alone(folder.parent):
            with suppress(CheckpointBroken):
                verify(folder)
                return
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others of this machine out who would put something into a folder, until the with block ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def fetch(worker: Worker, sha256: str, folder: Path) -> bool:
    """Bring a checkpoint from the store; False when the store has it no more, or what it has is no such file."""
    try:
        unpack(worker.storage.path(sha256), folder)
    except (NotFound, tarfile.TarError) as error:
        log.warning("a checkpoint could not be had from the store", path=folder.name, why=str(error))
        return False
    return True
