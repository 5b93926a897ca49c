"""A child gets what it works with and nothing it could give away."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import workers.child
from app.domain.events import Command
from app.domain.tracking import Tracker
from app.gateways.lifeline import is_running, members_of
from tests.waiting import until
from workers.child import Child

HARMLESS = {"PATH", "HOME", "HF_HOME", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "HONE_TRAINER_THREADS", "PYTHONPATH", "SSL_CERT_FILE"}
PROXIES = {"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}
OF_THE_HUB = {"HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN"}
OF_TRACKERS = {"WANDB_API_KEY", "WANDB_BASE_URL"}
OF_S3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"}
NEVER = {"HONE_DATABASE_URL", "HONE_REDIS_URL", "HONE_INFERENCE_KEY", "PGPASSWORD"}


def start(folder: Path, script: str, **needs: Any) -> Child:
    (folder / "child.py").write_text(script)
    return Child(["child"], folder=folder, log_file=folder / "log.txt", **needs)


@pytest.mark.parametrize(
    ("needs", "given"),
    [
        ({}, set()),
        ({"hub": {}}, OF_THE_HUB | PROXIES),
        ({"needs_s3": True}, OF_S3 | PROXIES),
        ({"trackers": [Tracker.WANDB]}, OF_TRACKERS | PROXIES),
    ],
)
def test_only_who_fetches_or_sends_gets_the_proxies_and_the_keys_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: dict[str, Any], given: set[str]
) -> None:
    for name in (HARMLESS | PROXIES | OF_THE_HUB | OF_S3 | OF_TRACKERS | NEVER) - {"PATH", "HOME", "PYTHONPATH"}:
        monkeypatch.setenv(name, "x")
    child = start(tmp_path, "import json, os\njson.dump(dict(os.environ), open('seen.json', 'w'))\n", **needs)
    child.process.wait(60)
    child.kill()
    seen = set(json.loads((tmp_path / "seen.json").read_text()))
    assert seen >= HARMLESS
    assert seen & (PROXIES | OF_THE_HUB | OF_S3 | OF_TRACKERS) == given
    assert seen & NEVER == set()


def test_a_key_that_a_project_has_stored_replaces_the_operator_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "the operator's")
    child = start(tmp_path, "import os\nopen('seen', 'w').write(os.environ['HF_TOKEN'])\n", hub={"HF_TOKEN": "the project's"})
    child.process.wait(60)
    child.kill()
    assert (tmp_path / "seen").read_text() == "the project's"


def test_arrow_reserves_no_address_space_in_a_child(tmp_path: Path) -> None:
    child = start(tmp_path, "import pyarrow\nopen('seen', 'w').write(pyarrow.default_memory_pool().backend_name)\n")
    child.process.wait(60)
    child.kill()
    assert (tmp_path / "seen").read_text() == "system"


def test_killing_leaves_nothing_of_the_group(tmp_path: Path) -> None:
    helpers = "import signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    child = start(
        tmp_path,
        helpers + "[subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']) for _ in range(3)]\ntime.sleep(600)\n",
    )
    until(lambda: len(members_of(child.process.pid)) == 4)
    child.kill()
    assert members_of(child.process.pid) == []
    assert (child.process.returncode, child.was_killed) == (-signal.SIGKILL, True)


def test_a_helper_that_outlives_its_leader_goes_too(tmp_path: Path) -> None:
    child = start(tmp_path, "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n")
    until(lambda: not is_running(child.process.pid))
    assert len(members_of(child.process.pid)) == 1
    child.kill()
    assert members_of(child.process.pid) == []
    assert (child.process.returncode, child.was_killed) == (0, False)


def test_a_child_that_stands_still_can_be_killed(tmp_path: Path) -> None:
    child = start(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    until(lambda: Path(f"/proc/{child.process.pid}/stat").read_text().split()[2] == "T")
    child.kill()
    assert child.process.returncode == -signal.SIGKILL


def test_one_that_hangs_in_the_system_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.child, "PATIENCE_SECONDS", 0.1)
    child = start(tmp_path, "import time\ntime.sleep(30)\n")
    with monkeypatch.context() as hanging:
        hanging.setattr(os, "killpg", lambda *_: None)  # as a process is that waits for a driver
        child.kill()
        assert child.process.returncode is None
        assert child.drain(0.1) == ([], True)
    child.kill()
    assert child.process.wait(60) == -signal.SIGKILL


def test_one_that_was_ended_minds_no_further_wish(tmp_path: Path) -> None:
    child = start(tmp_path, "import time\ntime.sleep(600)\n")
    child.kill()
    child.ask(Command(command="cancel"))
    child.terminate()
    child.kill()


def test_where_memory_runs_out_the_child_goes_first(tmp_path: Path) -> None:
    child = start(tmp_path, "import time\ntime.sleep(600)\n")
    assert int(Path(f"/proc/{child.process.pid}/oom_score_adj").read_text()) > int(Path("/proc/self/oom_score_adj").read_text())
    child.kill()
