from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tools import setup


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stamps.json"
    monkeypatch.setattr(setup, "STAMPS", path)
    return path


def test_a_step_runs_once_for_each_state_of_what_it_depends_on(stamps: Path) -> None:
    ran: list[str] = []
    for state in ("one", "one", "two"):
        setup.Steps().once("packages", state, partial(ran.append, state))
    assert ran == ["one", "two"]


def test_a_step_that_fails_is_tried_again(stamps: Path) -> None:
    with pytest.raises(SystemExit):
        setup.Steps().once("packages", "one", lambda: setup.give_up("no network"))
    assert not stamps.exists()


def test_steps_remember_one_another(stamps: Path) -> None:
    setup.Steps().once("torch", "one", lambda: None)
    setup.Steps().once("hone", "one", lambda: None)
    assert json.loads(stamps.read_text()) == {"torch": "one", "hone": "one"}


def test_the_fingerprint_follows_a_files_content_and_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert setup.digest(tmp_path / "a") == setup.digest(tmp_path / "b")
    (tmp_path / "b").write_text("y")
    assert setup.digest(tmp_path / "a") != setup.digest(tmp_path / "b")


def test_the_locks_and_the_set_up_name_the_same_torch(root: Path) -> None:
    assert f'"{setup.TORCH}"' in (root / "pyproject.toml").read_text(encoding="utf-8")


def test_a_python_that_is_too_old_is_refused_with_what_to_do(root: Path) -> None:
    done = subprocess.run([root / "tools" / "setup.sh"], env=os.environ | {"PYTHON": "false"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert "make setup PYTHON=" in done.stderr
