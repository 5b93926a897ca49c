"""What a backup is written into and read from: a folder or a tar file, with a list of what each of its files must be."""

from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app.domain.checkpoints import FileRecord
from app.gateways.backups import flush

if TYPE_CHECKING:
    from pathlib import Path

LIST = "hone-backup.json"


class BackupFailed(Exception):
    """Why there is no backup, or why one cannot be restored, in words."""


class Contents(BaseModel):
    """The list of a backup: what it is of, and each file's size and hash; written last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_at: str
    hone: str
    database: str
    revision: str
    files: dict[str, FileRecord]
    missing: list[str]


class Chest(Protocol):
    """Files by name."""

    def take(self, name: str, file: Path) -> None:
        """Move a file in."""

    def open(self, name: str) -> BinaryIO:
        """Read a file."""

    def close(self) -> None:
        """Make what was taken last."""


class Folder:
    """A backup as a folder."""

    def __init__(self, path: Path, *, to_write: bool) -> None:
        self.path, self._to_write = path, to_write

    def take(self, name: str, file: Path) -> None:
        """Move a file in."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        flush(file)
        file.replace(target)

    def open(self, name: str) -> BinaryIO:
        """Read a file."""
        return (self.path / name).open("rb")

    def close(self) -> None:
        """Make the names last."""
        if self._to_write:
            for folder in [self.path, *(path for path in self.path.rglob("*") if path.is_dir())]:
                flush(folder)


class Tar:
    """A backup as one tar file."""

    def __init__(self, path: Path, *, to_write: bool) -> None:
        self.path, self._to_write = path, to_write
        self._tar = tarfile.open(path, "w" if to_write else "r:")  # noqa: SIM115 - closed by close

    def take(self, name: str, file: Path) -> None:
        """Move a file in."""
        self._tar.add(file, arcname=name)
        file.unlink()

    def open(self, name: str) -> BinaryIO:
        """Read a file."""
        found = self._tar.extractfile(name)
        if found is None:
            raise KeyError(name)
        return found  # type: ignore[return-value]

    def close(self) -> None:
        """Write the end and make it last."""
        self._tar.close()
        if self._to_write:
            flush(self.path)


def open_chest(path: Path) -> Chest:
    """Return a backup that was made."""
    try:
        return Tar(path, to_write=False) if path.is_file() else Folder(path, to_write=False)
    except tarfile.TarError as error:
        message = f"{path} is no backup of Hone: {error}."
        raise BackupFailed(message) from error


def contents_of(chest: Chest, path: Path) -> Contents:
    """Return a backup's list."""
    try:
        with chest.open(LIST) as file:
            return Contents.model_validate_json(file.read())
    except (OSError, KeyError, tarfile.TarError, ValidationError) as error:
        message = f"{path} is no whole backup of Hone: it has no readable {LIST}."
        raise BackupFailed(message) from error


def check(chest: Chest, contents: Contents) -> None:
    """Read every file back; BackupFailed at the first that is not what the list says."""
    for name, record in contents.files.items():
        with Reading(chest, name) as reading:
            while reading.read():
                pass
        if reading.record != record:
            raise BackupFailed(damaged(name))


class Reading:
    """Reads a file piece by piece and knows at its end what it was."""

    def __init__(self, chest: Chest, name: str) -> None:
        self._file, self._sum, self._size = _opened(chest, name), hashlib.sha256(), 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._file.close()

    def read(self) -> bytes:
        """Return the next piece; nothing at the end."""
        piece = self._file.read(2**20)
        self._sum.update(piece)
        self._size += len(piece)
        return piece

    @property
    def record(self) -> FileRecord:
        """What was read."""
        return FileRecord(size=self._size, sha256=self._sum.hexdigest())


def _opened(chest: Chest, name: str) -> BinaryIO:
    try:
        return chest.open(name)
    except (OSError, KeyError, tarfile.TarError) as error:
        raise BackupFailed(damaged(name)) from error


def damaged(name: str) -> str:
    """Say that a file of a backup is not what its list says."""
    return f"The backup is damaged: {name} is not what its list says. Take another one."
