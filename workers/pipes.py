"""Pipes between a process and its children."""

from __future__ import annotations

import select
from typing import IO


def has_something(file: IO[bytes], seconds: float = 0.0) -> bool:
    """Return whether a file can be read within so many seconds, or has come to its end; unlike select, of any number."""
    look = select.poll()
    look.register(file, select.POLLIN)
    return bool(look.poll(seconds * 1000))
