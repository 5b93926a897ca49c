"""A trainer that waits for its run is as good as one that was started for it, and is there only while that costs nobody anything."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import workers.child
import workers.warm_trainers
from app.domain.events import AnyEvent, Command, Finished
from app.domain.tracking import Tracker
from app.gateways.lifeline import is_running, members_of
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.training.tiny import make_model, write_rows, write_spec
from workers.child import Child
from workers.curation.importing import FileSpec, ImportSpec, import_file
from workers.warm import told
from workers.warm_trainers import WarmTrainers

KEYS = ("WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "TRACKIO_WRITE_TOKEN")
SECRETS = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "HONE_DATABASE_URL", "HTTPS_PROXY", *KEYS)
PLENTY_BYTES = 2**40
FD_SETSIZE = 1024
"""Beyond this many open files select() refuses."""


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what waits import nothing, and play scenarios, however little memory the machine has left just now and however busy it is."""
    monkeypatch.setattr(workers.warm_trainers, "PROGRAM", "tests.workers.warm_child")
    monkeypatch.setattr(workers.warm_trainers, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(workers.warm_trainers, "free_bytes", lambda: PLENTY_BYTES)
    monkeypatch.setattr(workers.child, "ENDING_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def warm(light: None) -> Iterator[WarmTrainers]:
    """A keeper that has one waiting."""
    made = WarmTrainers()
    made.start()
    until(made.is_ready)
    yield made
    made.close()


def run(folder: Path, scenario: str, warm: WarmTrainers, **how: Any) -> Child:
    return Child(["workers.train", scenario], folder=folder, log_file=folder / "log.txt", warm=warm, **how)


def heard(child: Child) -> list[AnyEvent]:
    events, ended = child.drain(0.1)
    while not ended:
        more, ended = child.drain(0.1)
        events += more
    child.let_end()
    child.kill()
    return events


def test_it_finds_what_a_trainer_of_its_run_would_find(warm: WarmTrainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONE_TRAINER_NEW", "set after it was started")
    for name in KEYS:
        monkeypatch.setenv(name, "a key")
    waiting = warm.waiting
    child = run(tmp_path, "looks around", warm, trackers=[Tracker.WANDB])
    assert heard(child) == []
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert child.was_warm
    assert seen["pid"] == child.process.pid == waiting
    assert seen["arguments"][:2] == ["looks around", "--events-fd"]
    assert seen["environment"]["HONE_TRAINER_NEW"] == "set after it was started"
    assert set(seen["environment"]) & set(KEYS) == {"WANDB_API_KEY"}
    assert (tmp_path / "log.txt").read_text() == "It looked around.\n"
    assert child.process.returncode == 0


def test_it_follows_commands_and_signals_as_any_trainer(warm: WarmTrainers, tmp_path: Path) -> None:
    child = run(tmp_path, "obeys", warm)
    child.ask(Command(command="pause"))
    events = heard(child)
    assert child.was_warm
    assert [type(event).__name__ for event in events] == ["Started", "Metric", "Finished"]
    assert isinstance(events[-1], Finished)
    assert events[-1].status == "interrupted"


def test_killing_it_leaves_nothing_of_its_group(warm: WarmTrainers, tmp_path: Path) -> None:
    child = run(tmp_path, "waits", warm)
    child.drain(5)
    child.kill()
    assert (child.was_warm, child.was_killed, child.process.returncode) == (True, True, -signal.SIGKILL)
    assert members_of(child.process.pid) == []


def test_it_leaves_when_nobody_holds_its_commands_any_more(warm: WarmTrainers, tmp_path: Path) -> None:
    child = run(tmp_path, "hangs", warm)
    child.drain(5)
    child._commands.close()
    assert child.process.wait(PATIENCE_SECONDS) == 1
    child.kill()


def test_it_has_the_device_only_with_its_run_and_to_its_very_end(warm: WarmTrainers, tmp_path: Path) -> None:
    def is_free() -> bool:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    path = tmp_path / "device.lock"
    with path.open("w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = run(tmp_path, "waits", warm, keeps=[mine.fileno()])
        child.drain(5)
    assert not is_free()  # although this process has let go of it
    child.kill()
    assert child.was_warm
    until(is_free)  # the next one may be on its way just then, with files of this process that it is about to close


def test_one_that_died_is_not_missed(warm: WarmTrainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_tend", lambda: None)  # nobody has noticed yet
    assert warm.waiting
    os.kill(warm.waiting, signal.SIGKILL)
    until(lambda: not is_running(warm.waiting or 0))
    child = Child(
        ["tests.workers.scripted_child", "ends"], folder=tmp_path, log_file=tmp_path / "log.txt", warm=_any_work(warm, monkeypatch)
    )
    assert [type(event).__name__ for event in heard(child)][-1] == "Finished"
    assert not child.was_warm


def _any_work(warm: WarmTrainers, monkeypatch: pytest.MonkeyPatch) -> WarmTrainers:
    monkeypatch.setattr(workers.warm_trainers, "BECOMES", "tests.workers.scripted_child")
    return warm


def test_code_that_was_changed_is_read_anew(warm: WarmTrainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = warm.waiting
    monkeypatch.setattr(workers.warm_trainers, "code_on_disk", lambda: 0)
    child = Child(
        ["tests.workers.scripted_child", "ends"], folder=tmp_path, log_file=tmp_path / "log.txt", warm=_any_work(warm, monkeypatch)
    )
    assert heard(child)
    assert not child.was_warm
    assert old
    assert not is_running(old)


def test_what_fetches_starts_anew_and_what_waits_knows_no_key(light: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    warm = _any_work(WarmTrainers(), monkeypatch)
    warm.start()
    until(warm.is_ready)
    assert b"secret" not in Path(f"/proc/{warm.waiting}/environ").read_bytes()
    waiting = warm.waiting
    child = Child(["tests.workers.scripted_child", "ends"], folder=tmp_path, log_file=tmp_path / "log.txt", warm=warm, hub={})
    assert heard(child)
    assert (child.was_warm, warm.waiting) == (False, waiting)
    warm.close()


def test_the_next_one_is_started_once_the_run_has_made_a_step(warm: WarmTrainers, tmp_path: Path) -> None:
    setting_up = run(tmp_path, "is being set up", warm)
    time.sleep(0.3)
    assert (setting_up.was_warm, warm.waiting) == (True, None)
    setting_up.kill()
    until(warm.is_ready)  # a run that ends early is followed by the next, too
    at_work = run(tmp_path, "waits", warm)
    until(lambda: warm.waiting not in (None, at_work.process.pid))
    at_work.kill()


def test_where_memory_is_short_none_waits(warm: WarmTrainers, monkeypatch: pytest.MonkeyPatch) -> None:
    first = warm.waiting
    monkeypatch.setattr(workers.warm_trainers, "free_bytes", lambda: workers.warm_trainers.LEAST_KEPT_BYTES - 1)
    until(lambda: warm.waiting is None)
    assert first
    assert not is_running(first)
    monkeypatch.setattr(workers.warm_trainers, "free_bytes", lambda: workers.warm_trainers.LEAST_FREE_BYTES - 1)
    time.sleep(0.2)
    assert warm.waiting is None
    monkeypatch.setattr(workers.warm_trainers, "free_bytes", lambda: PLENTY_BYTES)
    until(lambda: warm.waiting is not None)


def test_whatever_fails_where_one_is_kept_costs_no_run(warm: WarmTrainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        looks.append(None)
        raise ValueError("filedescriptor out of range in select()")

    looks: list[None] = []
    child = run(tmp_path, "waits", warm)
    monkeypatch.setattr(warm, "_tend", fail)
    with capture_logs() as said:
        until(lambda: len(looks) > 1)
    assert "no trainer can be kept warm" in [line["event"] for line in said]
    assert (child.was_warm, is_running(child.process.pid)) == (True, True)
    child.kill()


def test_it_is_heard_by_a_worker_with_a_thousand_open_files(light: None) -> None:
    with ExitStack() as files:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * FD_SETSIZE), hard))
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while files.enter_context(Path(os.devnull).open()).fileno() < FD_SETSIZE:
            pass
        warm = WarmTrainers()
        warm.start()
        until(warm.is_ready)
        warm.close()


def test_one_that_cannot_live_is_not_started_again_and_again(warm: WarmTrainers) -> None:
    assert warm.waiting
    with capture_logs() as said:
        os.kill(warm.waiting, signal.SIGKILL)
        until(lambda: warm.waiting is None)
        time.sleep(0.2)
    assert warm.waiting is None
    assert [line["event"] for line in said] == ["a warm trainer ended by itself"]


def test_the_kernel_takes_what_waits_before_everything_and_a_run_before_the_studio(warm: WarmTrainers, tmp_path: Path) -> None:
    place = Path(f"/proc/{warm.waiting}/oom_score_adj")
    waiting = int(place.read_text())
    child = run(tmp_path, "waits", warm)
    assert waiting > int(place.read_text()) > int(Path("/proc/self/oom_score_adj").read_text())
    child.kill()


def test_what_cannot_be_got_ready_is_told_and_left_to_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with told("transformers could not be imported"):
        raise ImportError("libcudart.so.99 is not there")
    said = capsys.readouterr().err
    assert "transformers could not be imported" in said
    assert "ImportError: libcudart.so.99 is not there" in said


KEEPER = """
import sys, time
import workers.warm_trainers as warm_trainers
warm_trainers.PROGRAM = "tests.workers.warm_child"
warm_trainers.free_bytes = lambda: 2**40
warm = warm_trainers.WarmTrainers()
warm.start()
while not warm.waiting:
    time.sleep(0.01)
print(warm.waiting, flush=True)
time.sleep(60)
"""


def test_it_ends_with_its_supervisor(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KEEPER], stdout=subprocess.PIPE, cwd=root) as supervisor:
        assert supervisor.stdout
        waiting = int(supervisor.stdout.readline())
        assert is_running(waiting)
        supervisor.kill()
    until(lambda: not is_running(waiting))


IN_A_WARM_PROCESS = """
import os, sys, threading
from workers import train, warm
train.bound_libraries()
loading = threading.Thread(target=warm.get_ready, args=(os.open(os.devnull, os.O_WRONLY),))
loading.start()
loading.join()
before = {name.partition(".")[0] for name in sys.modules}
assert train.main(sys.argv[1:]) == 0
print(*sorted({name.partition(".")[0] for name in sys.modules} - before))
"""


def test_a_run_that_finds_a_warm_trainer_imports_no_further_library(tmp_path: Path, root: Path) -> None:
    base, rows = make_model(tmp_path / "base"), write_rows(tmp_path / "rows.jsonl")
    # As a studio gives them: a trainer alone reads other files, and imports what that takes.
    spec = ImportSpec(files=[FileSpec(path=rows, filename=rows.name)], out=tmp_path / "rows")
    import_file(spec, lambda *_: None)
    command = [
        sys.executable,
        "-c",
        IN_A_WARM_PROCESS,
        str(write_spec(tmp_path, base, spec.out, max_steps=1)),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert "The warm trainer goes on" not in done.stderr


def test_one_that_is_not_ready_yet_is_left_to_get_ready(warm: WarmTrainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = warm.waiting
    monkeypatch.setattr(workers.warm_trainers.WarmTrainer, "is_ready", lambda _: False)
    child = Child(
        ["tests.workers.scripted_child", "ends"], folder=tmp_path, log_file=tmp_path / "log.txt", warm=_any_work(warm, monkeypatch)
    )
    assert heard(child)
    assert (child.was_warm, warm.waiting) == (False, waiting)
