"""Room on a disk: looked for before a save, and its lack recognised in whatever an error calls it."""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.domain.errors import Unavailable
from app.domain.figures import in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_TEXTS = tuple(f"(os error {number})" for number in FULL)
"""Libraries written in Rust keep only the text of an error."""
SPARE_BYTES = 8 * 2**20
"""What a save leaves free, for the database and the logs that may lie on the same disk."""


class NotSaved(Unavailable):
    """Something could not be written; what lay there before is untouched."""

    default_code = "storage"


class NoRoom(NotSaved):
    """A disk is full."""

    default_code = "disk_full"


def free_bytes(folder: Path) -> int:
    """Return how much may still be written where `folder` lies, or will."""
    return shutil.disk_usage(_nearest(folder)).free


def fits(folder: Path, size: int) -> bool:
    """Say whether `size` bytes can be written into `folder` without filling its disk to the brim."""
    return free_bytes(folder) >= size + SPARE_BYTES


def no_room(folder: Path, *, needed: int | None = None) -> NoRoom:
    """Return what to tell a person about the full disk that `folder` lies on."""
    disk, free = _disk_of(folder), free_bytes(folder)
    wanted = f", and {in_bytes(needed)} are needed" if needed else ""
    what = "is full" if free < (needed or 0) + SPARE_BYTES else "takes no more, which may be a quota"
    message = f"The disk at {disk} {what}: {in_bytes(free)} are free{wanted}."
    return NoRoom(message, data={"disk": str(disk), "free": free} | ({"needed": needed} if needed else {}))


@contextmanager
def staged(staging: Path, *, on: Path, needed: int | None = None) -> Iterator[None]:
    """Remove what was staged when the disk that `on` lies on does not take it, and say so: NoRoom or NotSaved."""
    try:
        yield
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        if ran_out(error):
            raise no_room(on, needed=needed) from error
        raise NotSaved(f"The disk at {_disk_of(on)} failed: {getattr(error, 'strerror', None) or error}.") from error


def ran_out(error: BaseException) -> bool:
    """Say whether an error means a full disk or quota, itself or in what caused it."""
    return any((isinstance(e, OSError) and e.errno in FULL) or any(text in str(e) for text in FULL_TEXTS) for e in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _disk_of(folder: Path) -> Path:
    """Return where the disk that holds `folder` is mounted."""
    place = _nearest(folder)
    while place.parent != place and place.parent.stat().st_dev == place.stat().st_dev:
        place = place.parent
    return place


def _nearest(folder: Path) -> Path:
    whole = folder.resolve()
    return next(place for place in (whole, *whole.parents) if place.is_dir())
