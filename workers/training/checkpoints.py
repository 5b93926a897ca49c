"""Checkpoints that are whole or not there: staged, flushed, listed in a manifest with sizes and hashes, then renamed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from app.domain.checkpoints import MANIFEST, CheckpointBroken, Manifest, record_of, verify
from workers.training.durable import flush_folder, write_durably
from workers.training.room import fits, no_room, staged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STAGING = ".staging"
KEPT = 2
"""Kept where there is room: the newest, and one more in case that is found broken."""


class Checkpoints:
    """The checkpoints of one run under one lease token; what an earlier attempt left half-written is dropped.

    `keep`: that many are kept where there is room; None under a supervisor, whose rows say which there are.
    """

    def __init__(self, folder: Path, *, lease_token: int, keep: int | None) -> None:
        self._folder = folder
        self._token = lease_token
        self._keep = keep
        self._size: int | None = None
        for left in (folder / STAGING).glob("*-t*"):
            # A later attempt may be saving just now, if this one slept past its lease before it came here.
            if int(left.name.rpartition("-t")[2]) <= lease_token:
                shutil.rmtree(left, ignore_errors=True)

    def save(self, step: int, write: Callable[[Path], None], *, expected: int = 0) -> Path:
        """Let `write` fill a staging folder with about `expected` bytes, then make it a checkpoint by a rename.

        NotSaved where the disk does not take it, NoRoom where it is full. The checkpoints there were stay as they were.
        """
        needed = self._size or expected
        self._make_room(needed)
        staging = self._folder / STAGING / f"{step}-t{self._token}"
        with staged(staging, on=self._folder, needed=needed):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            write(staging)
            self._size = _seal(staging, step, self._token)
            final = self._folder / staging.name
            shutil.rmtree(final, ignore_errors=True)  # a broken one of the same step, from an earlier attempt
            os.replace(staging, final)  # noqa: PTH105 - the atomic rename is the point
            flush_folder(self._folder, files=False)
        self._drop_older(step, self._size)
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

    def _make_room(self, needed: int) -> None:
        """See that `needed` bytes fit, at the price of every checkpoint but the newest good one."""
        if not fits(self._folder, needed) and self._keep is not None:
            good = self.newest_good()
            for _, folder in self._steps():
                if good not in {None, folder}:
                    shutil.rmtree(folder, ignore_errors=True)
        if not fits(self._folder, needed):
            raise no_room(self._folder, needed=needed)

    def _drop_older(self, step: int, size: int) -> None:
        if self._keep is None:
            return
        keep = self._keep if fits(self._folder, size) else 1
        older = sorted((pair for pair in self._steps() if pair[0] < step), key=lambda pair: pair[0])
        for _, folder in older[: max(0, len(older) - keep + 1)]:
            shutil.rmtree(folder, ignore_errors=True)


def _seal(staging: Path, step: int, token: int) -> int:
    """List the files in a manifest and flush all of them; return how large they are."""
    records = {path.name: record_of(path) for path in sorted(staging.iterdir())}
    manifest = Manifest(step=step, lease_token=token, files=records)
    write_durably(staging / MANIFEST, manifest.model_dump_json(indent=1))
    flush_folder(staging)
    return sum(record.size for record in records.values())
