"""Checkpoints that are whole or not there: staged, flushed, listed in a manifest with sizes and hashes, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.training.durable import flush_folder, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = "manifest.json"
STAGING = ".staging"
KEPT = 2


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


class Checkpoints:
    """The checkpoints of one run under one lease token; what an earlier attempt left half-written is dropped."""

    def __init__(self, folder: Path, *, lease_token: int, keep: int | None) -> None:
        self._folder = folder
        self._token = lease_token
        self._keep = keep
        shutil.rmtree(folder / STAGING, ignore_errors=True)

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Let `write` fill a staging folder, then make it a checkpoint by a rename."""
        staging = self._folder / STAGING / f"{step}-t{self._token}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        write(staging)
        records = {path.name: _record(path) for path in sorted(staging.iterdir())}
        manifest = Manifest(step=step, lease_token=self._token, files=records)
        write_durably(staging / MANIFEST, manifest.model_dump_json(indent=1))
        flush_folder(staging)
        final = self._folder / staging.name
        shutil.rmtree(final, ignore_errors=True)  # a broken one of the same step, from an earlier attempt
        os.replace(staging, final)  # noqa: PTH105 - the atomic rename is the point
        flush_folder(self._folder, files=False)
        self._drop_older(step)
        return final

    def newest_good(self) -> Path | None:
        """Return the checkpoint with the highest step whose manifest verifies."""
        for step, folder in sorted(self._steps(), reverse=True, key=lambda pair: pair[0]):
            try:
                if verify(folder).step == step:
                    return folder
            except CheckpointBroken:
                continue
        return None

    def _steps(self) -> list[tuple[int, Path]]:
        found = []
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            step, _, token = folder.name.partition("-t")
            if step.isdecimal() and token.isdecimal():
                found.append((int(step), folder))
        return found

    def _drop_older(self, step: int) -> None:
        if self._keep is None:
            return
        older = sorted((pair for pair in self._steps() if pair[0] < step), key=lambda pair: pair[0])
        for _, folder in older[: max(0, len(older) - self._keep + 1)]:
            shutil.rmtree(folder, ignore_errors=True)


def verify(folder: Path) -> Manifest:
    """Return the manifest if every file is there with its size and hash, else raise CheckpointBroken."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        message = f"{folder.name} has no readable manifest."
        raise CheckpointBroken(message) from error
    for name, record in manifest.files.items():
        path = folder / name
        if "/" in name or not path.is_file() or path.stat().st_size != record.size or _sha256(path) != record.sha256:
            message = f"{folder.name}: {name} is not what the manifest says."
            raise CheckpointBroken(message)
    return manifest


def _record(path: Path) -> FileRecord:
    return FileRecord(size=path.stat().st_size, sha256=_sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
