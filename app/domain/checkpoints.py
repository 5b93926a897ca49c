"""What makes a folder a checkpoint: a manifest of its files, with sizes and hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"


class CheckpointBroken(Exception):
    """The folder is no whole checkpoint; the text says why."""


class FileRecord(BaseModel):
    """What a file of a checkpoint must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """The list of a checkpoint's files; written last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    lease_token: int
    files: dict[str, FileRecord]


def record_of(path: Path) -> FileRecord:
    """Return what a file is."""
    with path.open("rb") as file:
        return FileRecord(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def verify(folder: Path) -> Manifest:
    """Return the manifest if every file is there with its size and hash, else raise CheckpointBroken.

    A disk that does not answer, or lets nobody read, says nothing about the checkpoint: its OSError goes through.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError) as error:
        message = f"{folder.name} has no readable manifest."
        raise CheckpointBroken(message) from error
    for name, record in manifest.files.items():
        path = folder / name
        if "/" in name or not path.is_file() or path.stat().st_size != record.size or record_of(path) != record:
            message = f"{folder.name}: {name} is not what the manifest says."
            raise CheckpointBroken(message)
    return manifest
