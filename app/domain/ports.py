"""What the services need from outside, as protocols; `app.gateways` has the real ones, tests may bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class Queue(Protocol):
    """Something that tells workers to look into the database sooner than they would."""

    def ring(self, queue: str) -> None:
        """Wake the workers of a queue; a lost or doubled ring does no harm."""


class Storage(Protocol):
    """Files by content: a file's name is its SHA-256."""

    def put(self, source: Path) -> tuple[str, int]:
        """Move a finished file in; return its SHA-256 and size in bytes."""

    def path(self, sha256: str) -> Path:
        """Return a local path to read it from."""

    def open(self, sha256: str) -> BinaryIO:
        """Open it for reading."""

    def remove(self, sha256: str) -> None:
        """Drop it; nothing happens when it is gone already."""
