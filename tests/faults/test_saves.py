"""A save that is cut short anywhere never spoils a run.

Every call by which a save of the real trainer touches the disk is a place to fail: the first, the second and so on, until a save runs
through. At each place the disk is full, or fails, or the process is killed (in a copy of it). What is left must be the checkpoint from
before or the one that was being made, whole and to the bit; and from both the run goes on as if nothing had happened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import workers.training.durable
import workers.training.tensors
from tests.faults.harness.results import Recorder
from tests.workers.training.conftest import Train, base, rows, train_here, undisturbed
from tests.workers.training.tiny import last
from workers.training.adapter import WEIGHTS
from workers.training.checkpoints import Checkpoints
from workers.training.room import NoRoom, NotSaved

__all__ = ["base", "rows", "train_here", "undisturbed"]

KILLED = 9
FIRST, LAST = 4, 8
SETTINGS = {"max_steps": LAST, "dropout": 0.1, "checkpoint_every_steps": FIRST, "eval_every_steps": LAST}
Way = Callable[[], None]


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_the_disk() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def kill() -> None:
    os._exit(KILLED)


WAYS: dict[str, Way] = {"full": fill_the_disk, "failing": fail_the_disk, "killed": kill}


@dataclass
class Places:
    """Counts the places of a save, and fails at one of them."""

    fails_at: int = 0
    way: Way = fill_the_disk
    names: list[str] = field(default_factory=list)

    def reach(self, name: str) -> None:
        """Note a place, and fail if it is the one."""
        self.names.append(name)
        if len(self.names) == self.fails_at:
            self.way()

    def __call__(self, name: str, true: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that can fail before it has done anything, and after."""

        def call(*given: Any, **named: Any) -> Any:
            self.reach(f"before {name}")
            done = true(*given, **named)
            self.reach(f"after {name}")
            return done

        return call

    def writing(self, name: str, true: Callable[..., Any]) -> Callable[..., Any]:
        """Return a writing call that can fail half-way too, with half a file left behind."""

        def write(path: Path, *given: Any, **named: Any) -> Any:
            done = self(name, true)(path, *given, **named)
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            self.reach(f"half-way in {name}")
            path.write_bytes(whole)
            return done

        return write


@contextmanager
def watched(places: Places) -> Iterator[None]:
    """Put the places where a save touches the disk."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "replace", "fsync"):
            patch.setattr(os, name, places(name, getattr(os, name)))
        patch.setattr(workers.training.tensors, "save_file", _by_path(places.writing("tensors", _tensors)))
        for module in ("adapter", "state", "checkpoints"):
            patch.setattr(f"workers.training.{module}.write_durably", places.writing("text", workers.training.durable.write_durably))
        yield


def _tensors(path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None) -> None:
    TRUE_SAVE(tensors, path, metadata)


TRUE_SAVE = vars(workers.training.tensors)["save_file"]


def _by_path(write: Callable[..., Any]) -> Callable[..., Any]:
    return lambda tensors, path, metadata=None: write(path, tensors, metadata)


def content(folder: Path) -> str:
    """Return a hash over a folder's files."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


Write = Callable[[Path], None]
Save = Callable[[], object]


def cut(save: Save, places: Places) -> bool:
    """Save with a fault; say whether it was never reached. A kill happens to a copy of this process."""
    if places.way is not kill:
        with watched(places), suppress(NotSaved):
            save()
        return len(places.names) < places.fails_at
    generator = random.getstate()
    child = os.fork()
    if child == 0:
        random.setstate(generator)  # Python sows it anew in a child, and it is part of a checkpoint
        with watched(places):
            save()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def sweep_of_faults(way: Way, before: Path, folder: Path, save: Save) -> Iterator[int]:
    """Save with a fault at the first place, the second and so on, each time beside the checkpoints of `before`."""
    for number in range(1, 1000):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(before, folder)
        through = cut(save, Places(number, way))
        yield number
        if through:
            return


Programme = Callable[[Write, Path], None]


@pytest.fixture
def at_the_last_save(train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Programme], None]:
    """Train for real, and run a programme where the last save is due: with what it writes, beside the checkpoints there are."""
    true_save = Checkpoints.save

    def train(programme: Programme) -> None:
        def save(self: Checkpoints, step: int, write: Write, *, expected: int = 0) -> Path:
            if step == LAST:
                with monkeypatch.context() as patch:
                    patch.setattr(Checkpoints, "save", true_save)
                    programme(write, tmp_path / "whole" / "checkpoints")
            return true_save(self, step, write, expected=expected)

        monkeypatch.setattr(Checkpoints, "save", save)
        code, events = train_here(out="whole", **SETTINGS)
        assert code == 0, last(events).reason

    return train


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", WAYS)
def test_a_save_cut_short_anywhere_leaves_the_last_checkpoint_or_the_new_one(
    name: str, times: int, at_the_last_save: Callable[[Programme], None], tmp_path: Path, record: Recorder
) -> None:
    left: list[str] = []

    def programme(write: Write, before: Path) -> None:
        folder = tmp_path / "try"

        def save() -> None:
            Checkpoints(folder, lease_token=0, keep=2).save(LAST, write)

        for _ in (place for _ in range(times) for place in sweep_of_faults(WAYS[name], before, folder, save)):
            good = Checkpoints(folder, lease_token=1, keep=None).newest_good()
            left.append(content(good) if good else "nothing")

    at_the_last_save(programme)
    whole = tmp_path / "whole" / "checkpoints"
    assert set(left) == {content(whole / f"{FIRST}-t0"), content(whole / f"{LAST}-t0")}
    record("R4", n=len(left), result={"the_disk_or_process_is": name, "spoilt": left.count("nothing")})


def test_from_what_is_left_the_run_ends_the_same(at_the_last_save: Callable[[Programme], None], train_here: Train, tmp_path: Path) -> None:
    at_the_last_save(lambda _write, _before: None)
    for step in (FIRST, LAST):
        left = f"{step}-t0"
        shutil.copytree(tmp_path / "whole" / "checkpoints" / left, tmp_path / left / "checkpoints" / left)
        code, events = train_here(out=left, **SETTINGS)
        assert code == 0, last(events).reason
        assert (tmp_path / left / "adapter" / WEIGHTS).read_bytes() == (tmp_path / "whole" / "adapter" / WEIGHTS).read_bytes()


def test_a_full_disk_keeps_no_trace_of_the_save(at_the_last_save: Callable[[Programme], None], tmp_path: Path) -> None:
    def programme(write: Write, before: Path) -> None:
        folder = tmp_path / "try"
        shutil.copytree(before, folder)
        with watched(Places(12, fill_the_disk)), pytest.raises(NoRoom):
            Checkpoints(folder, lease_token=0, keep=2).save(LAST, write)
        assert sorted(path.name for path in folder.rglob("*") if path.is_dir()) == [".staging", f"{FIRST}-t0"]

    at_the_last_save(programme)


def test_control_without_staging_and_rename_a_kill_spoils_what_is_found(
    at_the_last_save: Callable[[Programme], None], tmp_path: Path
) -> None:
    """As many trainers save and resume: into the folder itself, and from the highest number."""
    left: set[str] = set()

    def programme(write: Write, before: Path) -> None:
        folder = tmp_path / "try"

        def save() -> None:
            (folder / f"{LAST}-t0").mkdir()
            write(folder / f"{LAST}-t0")

        for _ in sweep_of_faults(kill, before, folder, save):
            left.add(content(folder / f"{LAST}-t0") if (folder / f"{LAST}-t0").is_dir() else "before")

    at_the_last_save(programme)
    assert len(left) > len({"before", "whole"})


def test_every_file_is_flushed_before_the_rename_and_its_folder_after(
    at_the_last_save: Callable[[Programme], None], tmp_path: Path
) -> None:
    places = Places()

    def programme(write: Write, _before: Path) -> None:
        with watched(places):
            Checkpoints(tmp_path / "try", lease_token=0, keep=2).save(LAST, write)

    at_the_last_save(programme)
    renamed = places.names.index("before replace")
    files = sum(name in {"after tensors", "after text"} for name in places.names)
    assert places.names[:renamed].count("after fsync") >= files + len(["the folder"])
    assert places.names[renamed:].count("after fsync") == 1
