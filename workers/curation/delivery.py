"""What is brought from outside: files under names of our own in one folder, how much of it has come, and whom it came from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from app.domain.errors import TooLarge
from app.domain.figures import in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[int, int, int], None]


class Fetched(BaseModel):
    """A file that has come: where it lies, what it is called, the split its source puts it in, and where it is from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    filename: str
    split: str | None = None
    origin: dict[str, Any]


class FetchReport(BaseModel):
    """All files of a source, and every host that was spoken to for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[Fetched]
    contacted: list[str]


class Delivery:
    """Files on their way into a folder, never more than `max_bytes` of them; `tell` hears of bytes, all bytes and finished files."""

    def __init__(self, folder: Path, max_bytes: int, tell: Tell) -> None:
        self.folder, self.max_bytes, self._tell = folder, max_bytes, tell
        self.files: list[Fetched] = []
        self.contacted: list[str] = []
        self.done = self.total = 0

    def expect(self, size: int) -> None:
        """Take note of how much will come in all, and refuse it before it comes where it is too much."""
        if size > self.max_bytes:
            raise self.too_large()
        self.total = max(size, self.done)

    def next_path(self) -> Path:
        """Return where the next file goes: no name from outside ever becomes a path."""
        return self.folder / f"{len(self.files):05d}"

    def arrived(self, size: int) -> None:
        """Count bytes that have been written; negative where a file begins anew."""
        self.done += size
        if self.done > self.max_bytes:
            raise self.too_large()
        self._tell(self.done, max(self.total, self.done), len(self.files))

    def add(self, filename: str, origin: dict[str, Any], *, split: str | None = None) -> None:
        """Take the file at `next_path` as finished."""
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        kept = {name: value for name, value in origin.items() if value is not None}
        self.files.append(Fetched(path=self.next_path(), filename=filename, split=split, origin=kept | {"fetched_at": moment}))

    def too_large(self) -> TooLarge:
        """Return the refusal of more than may come."""
        message = f"This is more than the {in_bytes(self.max_bytes)} that may be brought at once. Take a part of it, or ask the operator."
        return TooLarge(message, param="source")
