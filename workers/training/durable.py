"""Files that survive a power cut: flushed to the disk, and their folder too."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, text: str) -> None:
    """Write a text file and flush it to the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path, *, files: bool = True) -> None:
    """Flush a folder's entries to the disk, and with `files` what is in them."""
    for path in [*(folder.iterdir() if files else ()), folder]:
        if path.is_file() or path == folder:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
