"""The command line: what cannot start says so in one line, and every command takes --home and --json."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import Settings
from app.db.migrate import is_current
from app.db.session import make_engine
from app.launcher import prepare
from tests.driver import driver

__all__ = ["driver"]

NOBODY = "postgresql://nobody:secret@127.0.0.1:1/none"
COMMANDS = {
    "up": ["up", "--port", "0", "--no-workers"],
    "token": ["token", "create", "--name", "x"],
    "migrate": ["migrate"],
    "worker": ["worker", "--queue", "cpu"],
}


def hone(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from app.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=os.environ | environment)


def check_one_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hone: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_database_that_is_away_is_said_so(tmp_path: Path, command: list[str]) -> None:
    done = hone(*command, "--home", tmp_path, HONE_DATABASE_URL=NOBODY)
    check_one_line(done, "The database cannot be used", "HONE_DATABASE_URL")
    assert "secret" not in done.stderr


@pytest.mark.parametrize("command", [COMMANDS["up"], COMMANDS["token"]], ids=["up", "token"])
def test_a_home_nobody_can_write_to_is_said_so(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").touch()
    check_one_line(hone(*command, "--home", tmp_path / "file" / "home"), str(tmp_path / "file"))


def test_the_database_alone_can_be_brought_up_to_date(tmp_path: Path) -> None:
    done = hone(*COMMANDS["migrate"], "--home", tmp_path, "--json")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"migrated": True}, "")
    assert is_current(make_engine(Settings(home=tmp_path).database))
    assert hone(*COMMANDS["migrate"], "--home", tmp_path, "--no-backup").stdout == "The database is up to date.\n"


def test_a_worker_on_a_database_without_tables_says_what_to_do(tmp_path: Path) -> None:
    check_one_line(hone(*COMMANDS["worker"], "--home", tmp_path), "hone up")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HONE_ROOT_PATH", "hone", "'hone' is no such path"),
        ("HONE_SECRET_KEY", "short", "each key has 32"),
        ("HONE_STORAGE_URL", "gs://bucket", "use file:///path or s3://bucket/prefix"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_to_give(tmp_path: Path, name: str, value: str, words: str) -> None:
    done = hone(*COMMANDS["up"], "--home", tmp_path, **{name: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hone: {name}: {words}")


@pytest.mark.parametrize(("queue", "words"), [("gpu", "There is no GPU '7' here; there are: none"), ("cpu", "takes no GPU")])
def test_a_device_that_cannot_be_is_said_so(tmp_path: Path, queue: str, words: str) -> None:
    done = hone("worker", "--queue", queue, "--device", "7", "--home", tmp_path, PATH="/nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize(("command", "keys"), [("up", {"ready"}), ("worker", {"ready", "queue", "device"})])
def test_with_json_a_program_can_read_when_it_is_ready(tmp_path: Path, command: str, keys: set[str]) -> None:
    prepare(Settings(home=tmp_path))
    arguments = [sys.executable, "-c", "from app.cli import main; main()", *COMMANDS[command], "--home", str(tmp_path), "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert set(ready) == keys


def test_with_json_what_is_logged_does_not_come_between(tmp_path: Path, driver: Path) -> None:
    driver.with_name("nvidia-smi").write_text("#!/bin/sh\necho 'the key is a-secret-canary'\nexit 18\n")
    done = hone("doctor", "--home", tmp_path, "--json", AN_API_KEY="a-secret-canary")
    assert json.loads(done.stdout)["ok"] is False
    assert "the key is [hidden]" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_with_json_training_prints_its_last_event(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("surprise: 1\n")
    done = hone("train", tmp_path / "spec.yaml", "--out", tmp_path / "out", "--home", tmp_path, "--json", HONE_PORT="none")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert (told["type"], told["status"]) == ("finished", "failed")


def test_a_tracker_there_is_not_is_said_before_training(tmp_path: Path) -> None:
    done = hone("train", tmp_path / "spec.yaml", "--out", tmp_path / "out", HONE_TRACKERS="neptune")
    assert (done.returncode, done.stdout, (tmp_path / "out").exists()) == (2, "", False)
    assert done.stderr.startswith("hone: HONE_TRACKERS: there is no tracker 'neptune'")
