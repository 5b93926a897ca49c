"""No secret gets into a log: real processes whose database and broker fail, and all that they wrote."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from app.config import PROJECT_ROOT, Settings
from app.db.session import make_engine, unit_of_work
from app.launcher import prepare
from app.services.accounts import Accounts
from tests.waiting import until

SECONDS = 60.0
CANARY = "canary-4d1f9b7c"
SECRETS = {
    "HONE_SECRET_KEY": f"{CANARY}-{'k' * 40}", "HONE_INFERENCE_KEY": f"{CANARY}-inference", "HF_TOKEN": f"hf_{CANARY}",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}/aws", "HONE_REDIS_URL": f"redis://:{CANARY}@127.0.0.1:9/0",
}  # fmt: skip
AWAY = f"postgresql://hone:{CANARY}@127.0.0.1:9/hone"


class Web:
    """A real web process, and what it has written."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.log = home / "web.log"
        with self.log.open("wb") as log, socket.create_server(("127.0.0.1", 0)) as listener:
            self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            settings = (
                os.environ
                | SECRETS
                | environment
                | {"HONE_HOME": str(home), "HONE_WEB_FD": str(listener.fileno()), "HONE_WORKERS": "false"}
            )
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.main"], cwd=PROJECT_ROOT, env=settings, stdin=subprocess.PIPE, stdout=log, stderr=log,
                pass_fds=(listener.fileno(),),
            )  # fmt: skip

    def ask(self, method: str, path: str, key: str, body: object = None) -> int:
        """Send a request with a key, and return the status."""
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=self.address, headers=headers, trust_env=False, timeout=SECONDS) as client:
            return client.request(method, path, json=body).status_code

    def wait_for(self, words: str) -> str:
        """Return what was written, once it has certain words in it."""
        until(lambda: words in self.log.read_text(), SECONDS)
        return self.log.read_text()

    def end(self) -> str:
        """End the process, and return all it wrote."""
        self.process.communicate(timeout=SECONDS)  # closes the pipe that it follows
        return self.log.read_text()


def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    web = Web(tmp_path, HONE_DATABASE_URL=AWAY)
    assert {path: web.ask("GET", path, f"hone_{CANARY}") for path in ("/", "/api/v1/runs", "/readyz", "/metrics")} == {
        "/": 503, "/api/v1/runs": 503, "/readyz": 503, "/metrics": 200,
    }  # fmt: skip
    written = web.end()
    assert "the database did not answer" in written
    assert CANARY not in written


def test_a_broker_that_cannot_be_reached(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare(settings)
    engine = make_engine(settings.database)
    with unit_of_work(engine) as session:
        _, key = Accounts(session).create_key(Accounts(session).ensure_owner(), CANARY)
    engine.dispose()
    web = Web(tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert web.ask("POST", "/api/v1/datasets/samples/pii-masking", key) == 201
    assert web.ask("GET", f"/runs?q={CANARY}", key) == 200
    assert web.ask("PUT", "/api/v1/connections/hub", key, {"token": f"hf_{CANARY}"}) == 200
    assert web.ask("PUT", "/api/v1/connections/hub", key, {"token": f"hf_{CANARY} with spaces"}) == 422
    model = {"name": "x", "url": "https://api.example.com/v1", "model": "x", "key": f"sk-{CANARY}"}
    assert web.ask("POST", "/api/v1/connections/models", key, model) == 201
    assert web.ask("GET", "/api/v1/hub/models/acme/small", key) == 503
    web.wait_for("the bell could not be rung")
    written = web.end()
    assert "the bell could not be rung" in written
    assert CANARY not in written
    assert key not in written


def test_a_worker_that_cannot_start(tmp_path: Path) -> None:
    settings = os.environ | SECRETS | {"HONE_HOME": str(tmp_path), "HONE_DATABASE_URL": AWAY}
    command = [sys.executable, "-m", "workers.supervisor", "--queue", "cpu", "--alone"]
    ended = subprocess.run(command, cwd=PROJECT_ROOT, env=settings, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert ended.returncode == 1
    assert "The database cannot be used" in ended.stderr
    assert CANARY not in ended.stderr + ended.stdout
