"""Base models that were fetched from the Hub: HONE_HOME/models/<organisation>--<name>/<commit>/, each whole or not there at all.

What has come of one that is not whole lies beside them, in `.parts`, until it is, or nobody wants it any more.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from typing import TYPE_CHECKING

from app.domain.base_models import COMMIT, is_hub_id
from app.domain.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BETWEEN = "--"
"""No name on the Hub has it."""
PARTS = ".parts"
GONE = "gone-"
"""Begins the name of what is being removed there."""
LOCK = ".lock"
"""Ends the name of what those hold who fetch a model, one after the other."""


class FetchedBases:
    """The folder of fetched bases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, repo: str, commit: str) -> Path:
        """Return where a model at a commit lies, or will."""
        return self.folder / _folder_name(repo) / _checked(commit)

    def parts(self, repo: str, commit: str) -> Path:
        """Return where a model lies while it is not whole."""
        return self.folder / PARTS / f"{_folder_name(repo)}@{_checked(commit)}"

    def newest(self, repo: str) -> Path | None:
        """Return where a model lies at the commit that was fetched last, if any was."""
        found = self.folder / repo.replace("/", BETWEEN, 1)
        return max((path for path in _folders_of(found) if COMMIT.fullmatch(path.name)), key=_since, default=None)

    def listed(self) -> list[tuple[str, Path]]:
        """Return the models that are here, by name, each at the commit that was fetched last."""
        names = sorted(path.name.replace(BETWEEN, "/", 1) for path in _folders_of(self.folder))
        found = [(name, self.newest(name)) for name in names if is_hub_id(name)]
        return [(name, folder) for name, folder in found if folder]

    def has(self, repo: str, commit: str) -> bool:
        """Return whether a model is here at this very commit."""
        return self.place(repo, commit).is_dir()

    def free_bytes(self) -> int:
        """Return how much may still be written where models go."""
        return shutil.disk_usage(next(place for place in (self.folder, *self.folder.parents) if place.is_dir())).free

    def part_bytes(self, repo: str, commit: str) -> int:
        """Return how much of a model has come that is not whole."""
        parts = self.parts(repo, commit)
        return sum(path.stat().st_size for path in parts.iterdir() if path.is_file()) if parts.is_dir() else 0

    def left_over(self, wanted: Iterable[tuple[str, str]], seconds: float) -> Iterator[Path]:
        """Yield what removals did not get to the end of, and what came of models that are not `wanted`, untouched for so long."""
        folder, kept = self.folder / PARTS, {f"{repo.replace('/', BETWEEN)}@{commit}" for repo, commit in wanted}
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            name = path.name.removesuffix(LOCK)
            is_unwanted = name not in kept and _untouched_seconds(path) > seconds and not _is_held(folder / f"{name}{LOCK}")
            if is_unwanted or name.startswith(GONE):
                yield path

    def remove(self, repo: str, commit: str) -> None:
        """Remove a model, whole or not; at once for everybody who looks."""
        for path in (self.place(repo, commit), self.parts(repo, commit)):
            if path.is_dir():
                gone = self.folder / PARTS / f"{GONE}{new_id()}"
                gone.parent.mkdir(parents=True, exist_ok=True)
                path.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)


def _folder_name(repo: str) -> str:
    if not is_hub_id(repo):
        raise ValueError(f"{repo!r} is no name on the Hub")
    return repo.replace("/", BETWEEN)


def _checked(commit: str) -> str:
    if not COMMIT.fullmatch(commit):
        raise ValueError(f"{commit!r} is no commit")
    return commit


def _folders_of(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")] if folder.is_dir() else []


def _since(folder: Path) -> float:
    return folder.stat().st_mtime


def _untouched_seconds(path: Path) -> float:
    """Return since when nothing has changed there; what is gone meanwhile is new."""
    try:
        inside = list(path.iterdir()) if path.is_dir() else []
        return time.time() - max(each.stat().st_mtime for each in [path, *inside])
    except FileNotFoundError:
        return 0.0


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
