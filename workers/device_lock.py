"""A GPU is given out again only when everything that worked on it has gone, on the whole machine.

The lock belongs to an open file that the trainer and what it starts inherit, so the kernel frees it when the last of them ends, even when
the worker was killed and nobody is left to look.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class DeviceLock:
    """The right to work on a device, as many times as a worker has slots; a worker without a GPU needs none and always has it."""

    def __init__(self, gpu: str | None, slots: int) -> None:
        self._gpu = gpu
        self._files = [_folder() / f"{gpu}.{slot}.lock" for slot in range(slots)] if gpu else []
        self._mine = threading.local()
        self._taken: set[Path] = set()

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Hold the device for the time of a with block, here and in what is started with `inherited`; False when it is not free."""
        if not self._files:
            yield True
            return
        path, file = self._take()
        if file is None:
            yield False
            return
        self._mine.file = file
        self._taken.add(path)
        try:
            yield True
        finally:
            self._taken.discard(path)
            del self._mine.file
            # Closed, not unlocked: whoever has inherited it keeps it.
            os.close(file)

    def _take(self) -> tuple[Path, int | None]:
        if not any(map(_is_held, self._beyond())):
            for path in self._files:
                file = _locked(path)
                if file is not None:
                    return path, file
        return self._files[0], None

    def _beyond(self) -> list[Path]:
        """Return the files of slots that this worker has not, but that an earlier one may have had."""
        return [path for path in _folder().glob(f"{self._gpu}.*.lock") if path not in self._files]

    @property
    def inherited(self) -> tuple[int, ...]:
        """Return what a child has to be given so that the device stays taken as long as the child lives."""
        return (self._mine.file,) if hasattr(self._mine, "file") else ()

    def holders(self) -> list[int]:
        """Return the processes that have the device beside this one and its trainers, as far as this system tells."""
        wanted = {str(path) for path in [*self._files, *self._beyond()] if path not in self._taken}
        found = set()
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if str(link.readlink()) in wanted:
                    found.add(int(link.parts[2]))
            except OSError:
                continue  # it has just ended, or is not ours to look at
        return sorted(found - {os.getpid()})


def _locked(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    os.utime(file)  # what is in use is not old, for whoever tidies the folder
    return file


def _is_held(path: Path) -> bool:
    file = _locked(path)
    if file is not None:
        os.close(file)
    return file is None


def _folder() -> Path:
    """Return the one place of this machine where this user's workers meet, whatever their studio."""
    folder = Path(tempfile.gettempdir()) / f"hone-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(0, "it belongs to somebody else", str(folder))
    return folder
