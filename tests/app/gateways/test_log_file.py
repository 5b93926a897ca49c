"""The log on disk: cut short in time, and nobody who writes to it notices."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from app.gateways import log_file
from app.gateways.log_file import KEPT, rotate


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log_file, "LARGEST_BYTES", 10)
    return tmp_path / "hone.log"


def test_a_large_log_is_put_aside_while_others_append_to_it(log: Path) -> None:
    with log.open("ab", buffering=0) as opened:
        for turn in range(KEPT + 3):
            opened.write(b"0123456789%d\n" % turn)
            rotate(log)
        opened.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    kept = {path.name: path.read_bytes() for path in log.parent.iterdir()}
    assert kept == {"hone.log": b"after\n"} | {f"hone.log.{n + 1}": b"0123456789%d\n" % (KEPT + 2 - n) for n in range(KEPT)}


def test_a_small_log_and_one_that_is_not_there_are_left_alone(log: Path) -> None:
    rotate(log)
    log.write_bytes(b"012345678")
    rotate(log)
    assert [path.name for path in log.parent.iterdir()] == ["hone.log"]


def test_the_last_room_is_not_taken_for_a_copy(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little = shutil.disk_usage(log.parent)._replace(free=19)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    log.write_bytes(b"0123456789")
    rotate(log)
    assert [path.name for path in log.parent.iterdir()] == ["hone.log"]


def test_a_disk_that_answers_nothing_ends_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    log.write_bytes(b"0123456789")
    monkeypatch.setattr(shutil, "copyfile", fail)
    monkeypatch.setattr(Path, "unlink", fail)
    rotate(log)


def test_without_room_for_a_copy_the_log_stays_whole(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    log.write_bytes(b"0123456789")
    rotate(log)
    assert {path.name: path.read_bytes() for path in log.parent.iterdir()} == {"hone.log": b"0123456789"}
