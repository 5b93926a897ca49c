"""The log of `hone up` on disk: it does not grow without end.

It is copied and cut short, not renamed: every child has it open, and those who append go on at its new end. Lines that are written in
the moment between the copy and the cut are lost.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_BYTES = 50 * 2**20
KEPT = 5
ROOM_FACTOR = 2
"""A copy is made where so many would fit: the last room of a disk is for more than old lines."""


def rotate(path: Path) -> None:
    """Once a log is large, keep a copy beside it as <name>.1, the older ones as .2 and so on, and begin it anew."""
    copies = [path.with_name(f"{path.name}.{number}") for number in range(KEPT + 1)]
    try:
        size = path.stat().st_size
        if size < LARGEST_BYTES or shutil.disk_usage(path.parent).free < ROOM_FACTOR * size:
            return
        shutil.copyfile(path, copies[0])
        for older, newer in zip(reversed(copies[1:]), reversed(copies[:-1]), strict=True):
            if newer.exists():
                newer.replace(older)
        os.truncate(path, 0)
    except OSError:
        # A log goes on growing until its disk takes a copy again; that ends nothing.
        with suppress(OSError):
            copies[0].unlink(missing_ok=True)
