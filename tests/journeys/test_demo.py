"""`make demo`: its last line and what it rests on, its ends, and what is in its way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select

from app.config import Settings
from app.db import ApiKey, Dataset, Run
from app.db.session import make_engine, reading
from tests.waiting import PATIENCE_SECONDS, until
from tools.demo.scoring import score
from tools.demo.work import BASE, answers_of, questions_of
from tools.running import RunningStudio, make_token, processes_of

LAST = re.compile(r"Demo: tuned (\d+) % of (\d+) held-out e-mails right, base (\d+) %, trained in (\d+) s")
FEW = ("--max-steps", "6", "--rows", "8")


def demo(home: Path, root: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.demo", "--home", home, "--port", "0", *options], cwd=root, env=os.environ | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def opened(process: subprocess.Popen[str], home: Path) -> tuple[RunningStudio, list[str]]:
    """Read what a demo says until its result, and give the studio that it leaves open."""
    assert process.stdout
    lines = []
    for line in iter(process.stdout.readline, ""):
        lines.append(line.rstrip())
        if line.startswith("Demo:"):
            break
    return RunningStudio(home, lines[0].removeprefix("Hone is ready at "), make_token(home), process), lines


def refusal(process: subprocess.Popen[str]) -> str:
    _, talked = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    return talked


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for a demo and the one after it."""
    return tmp_path_factory.mktemp("demo") / "home"


def test_the_last_line_says_what_the_studio_says_which_stays_open_until_ctrl_c(home: Path, root: Path) -> None:
    process = demo(home, root, *FEW)
    studio, lines = opened(process, home)
    found = LAST.fullmatch(lines[-1])
    assert found, lines
    with studio.rest as rest:
        [run] = rest.get("/api/v1/runs").json()["data"]
        held_out = next(d for d in rest.get("/api/v1/datasets").json()["data"] if d["name"].endswith("(held out)"))
    questions = questions_of(studio, held_out)[:8]
    expected = [question.expected for question in questions]
    shares = [score(expected, answers_of(studio, model, questions)).share_right for model in (run["model"], BASE)]
    seconds = (datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["created_at"])).total_seconds()
    assert [int(number) for number in found.groups()] == [round(shares[0] * 100), 8, round(shares[1] * 100), round(seconds)]
    assert "cannot be used" in refusal(demo(home.parent / "other", root, "--port", str(urlsplit(studio.address).port)))
    assert "already runs" in refusal(demo(home, root))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=50)  # a studio takes ten seconds at most
    assert process.returncode == 0
    until(lambda: processes_of(home) == [])


@pytest.mark.slow
def test_again_on_the_same_home_it_ends_by_itself_when_asked_to(home: Path, root: Path) -> None:
    process = demo(home, root, *FEW, HONE_DEMO_EXIT="1")
    told, talked = process.communicate(timeout=300)
    assert process.returncode == 0, talked
    until(lambda: processes_of(home) == [])
    assert LAST.fullmatch(told.splitlines()[-1])
    assert "Urgency: tuned" in told
    head = next(number for number, line in enumerate(told.splitlines()) if "Base says" in line)
    assert [line.count("✗") + line.count("✓") for line in told.splitlines()[head + 2 : head + 7]] == [2] * 5
    assert "6 steps in" in talked
    assert "\r" not in talked  # nobody watches a pipe move
    engine = make_engine(Settings(home=home).database)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(Dataset)) == 2
        assert list(session.scalars(select(Run.status))) == ["succeeded", "succeeded"]
        assert not session.scalars(select(ApiKey).where(ApiKey.name == "demo", ApiKey.revoked_at.is_(None))).all()
    engine.dispose()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow)])
def test_cut_off_in_the_middle_nothing_is_left_behind(number: int, code: int, tmp_path: Path, root: Path) -> None:
    home = tmp_path / "home"
    process = demo(home, root, "--max-steps", "5000")
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline().startswith("Hone is ready at")
    assert "held out" in next(line for line in process.stderr if "Data" in line)
    time.sleep(2)  # somewhere in the run's first steps; where does not matter
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    until(lambda: processes_of(home) == [])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_demo(tmp_path: Path, root: Path) -> None:
    process = demo(tmp_path / "home", root, HONE_DEMO_EXIT="1")
    told, talked = process.communicate()
    assert process.returncode == 0, talked
    found = LAST.fullmatch(told.splitlines()[-1])
    assert found, told
    tuned, rows, base, _ = map(int, found.groups())
    assert rows == 120
    assert tuned >= 90
    assert base <= 10
