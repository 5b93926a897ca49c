"""Disks that can be filled: small ones in memory, mounted where a studio keeps something."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = bytes(2**20)
FILLER = "filler"


@contextmanager
def small_disk(folder: Path, mebibytes: int = 64) -> Iterator[None]:
    """Have a disk of its own at `folder` for the time of a with block."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        # Lazily: what a process that is about to end still holds open must not keep it here.
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave not a byte free on a folder's disk for the time of a with block."""
    filler = folder / FILLER
    try:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            for piece in (PIECE, PIECE[:4096], PIECE[:1]):
                with suppress(OSError):
                    while True:
                        file.write(piece)
        yield
    finally:
        filler.unlink(missing_ok=True)
