"""A family of processes goes on, whatever becomes of one child."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.gateways.family import LONGEST_PAUSE_SECONDS, Child, Family


def child(folder: Path) -> Child:
    return Child("web", [sys.executable, "-c", "input()"], {}, folder)


def test_a_child_that_failed_a_whole_night_is_still_started_again(tmp_path: Path) -> None:
    mine = child(tmp_path)
    mine.started = time.monotonic()
    assert [mine.plan_restart() for _ in range(1100)][-1] == LONGEST_PAUSE_SECONDS


def test_a_machine_without_a_process_to_give_ends_no_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = child(tmp_path)
    family = Family([mine], None, end_seconds=5, farewell="Bye.", where="See the log.")
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        pauses = []
        for _ in range(3):
            mine.start_at = 0.0
            family._look_after(mine)
            pauses.append(mine.failures)
    assert pauses == [1, 2, 3]
    assert "The web could not be started (Resource temporarily unavailable); trying again in 4 s. See the log." in capsys.readouterr().err
    mine.start_at = 0.0
    family._look_after(mine)
    assert mine.process is not None
    family._end()
    assert mine.process.returncode is not None


def refuse(*_: object, **__: object) -> None:
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
