"""A whole studio for tests, benchmarks and the demo: `hone up` on a free port, with a key, ended and checked at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HONE = Path(sys.executable).parent / "hone"
FOLLOWING = Path(__file__).resolve().parent / "following.py"
READY = "Hone is ready at "
BUSY = 503
ANSWER_SECONDS, READING_SECONDS = 250.0, 600.0
READY_SECONDS = 180.0
END_SECONDS = 120.0
"""Ten are promised; on a busy machine whoever is to end first needs a turn."""
ENDED = frozenset({"succeeded", "failed", "stopped", "cancelled", "paused"})
"""The states in which a run does not go on by itself."""


class DidNotStart(RuntimeError):
    """A studio that ended before it was ready; `said` is its own word on why."""

    def __init__(self, said: str, details: str) -> None:
        super().__init__(f"The studio did not start. {said} {details}")
        self.said = said


@dataclass
class RunningStudio:
    """A studio that is up."""

    home: Path
    address: str
    key: str
    process: subprocess.Popen[str]

    @property
    def rest(self) -> httpx.Client:
        """A client of REST with the key."""
        return httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.key}"}, timeout=60, trust_env=False)

    def wait_for(self, path: str, is_done: Callable[[dict[str, Any]], bool], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Ask for `path` until the answer is as wanted."""
        deadline = time.monotonic() + seconds
        with self.rest as rest:
            while True:
                response = rest.get(path)
                # Where others hold the database for long it says so, and asks to be asked again.
                if response.status_code != BUSY:
                    answer: dict[str, Any] = response.raise_for_status().json()
                    if is_done(answer):
                        return answer
                if time.monotonic() > deadline:
                    message = f"{path} did not get there within {seconds:g} s: {response.text}"
                    raise TimeoutError(message)
                time.sleep(0.25)

    def upload(self, file: Path, mapping: dict[str, str] | None = None, system: str | None = None) -> dict[str, Any]:
        """Upload a file, map its columns if need be, and return the dataset once it is ready."""

        def is_read(dataset: dict[str, Any]) -> bool:
            return bool(dataset["status"] != "importing")

        with self.rest as rest:
            with file.open("rb") as opened:
                made = (
                    rest.post("/api/v1/datasets", files={"file": (file.name, opened)}, data={"name": file.stem}).raise_for_status().json()
                )
            path = f"/api/v1/datasets/{made['id']}"
            dataset = self.wait_for(path, is_read, READING_SECONDS)
            if mapping or system:
                rest.patch(path, json={"mapping": mapping, "system": system}).raise_for_status()
                dataset = self.wait_for(path, is_read, READING_SECONDS)
        if dataset["status"] != "ready":
            message = f"{file.name}: {dataset['status']}: {dataset['reason']}"
            raise RuntimeError(message)
        return dataset

    def launch(self, **wanted: Any) -> str:
        """Launch a run and return its id."""
        with self.rest as rest:
            return str(rest.post("/api/v1/runs", json=wanted).raise_for_status().json()["id"])

    def finish(self, run_id: str, seconds: float = 1800.0) -> dict[str, Any]:
        """Wait for a run's end and return it."""
        return self.wait_for(f"/api/v1/runs/{run_id}", lambda run: run["status"] in ENDED, seconds)


def make_token(home: Path, name: str = "tests", environment: dict[str, str] | None = None) -> str:
    """Make an API key by the command line."""
    command: list[str | Path] = [HONE, "token", "create", "--home", home, "--name", name]
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | (environment or {}))
    return made.stdout.strip()


def start(home: Path, environment: dict[str, str] | None = None, *, port: int = 0, key_name: str = "tests") -> RunningStudio:
    """Start a studio and return it when it says that it is ready; DidNotStart says why it is not."""
    process = subprocess.Popen(
        [sys.executable, "-P", FOLLOWING, HONE, "up", "--home", home, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | (environment or {}), start_new_session=True,
    )  # fmt: skip
    try:
        address = _address_once_ready(process, home)
        return RunningStudio(home, address, make_token(home, key_name, environment), process)
    except BaseException:
        _end(process)
        raise


def _address_once_ready(process: subprocess.Popen[str], home: Path) -> str:
    talk: list[str] = []
    assert process.stdout  # noqa: S101 - asked for above
    assert process.stderr  # noqa: S101
    collecting = threading.Thread(target=_collect, args=(process.stderr, talk), daemon=True)
    collecting.start()
    stuck = threading.Timer(READY_SECONDS, process.kill)
    stuck.daemon = True
    stuck.start()
    try:
        line = process.stdout.readline()
    finally:
        stuck.cancel()
    if line.startswith(READY):
        return line.removeprefix(READY).strip()
    process.kill()
    collecting.join(1)
    log = home / "logs" / "hone.log"
    raise DidNotStart("".join(talk).strip(), f"{line!r} {log.read_text()[-3000:] if log.exists() else ''}")


def _collect(stream: IO[str], into: list[str]) -> None:
    with stream:
        into.extend(stream)


def stop(studio: RunningStudio) -> int:
    """End a studio as Ctrl-C does and return its exit code."""
    return _end(studio.process)


def _end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(END_SECONDS)
    finally:
        _kill(process)


def kill(studio: RunningStudio) -> None:
    """End a studio's first process by force, and let go of its pipes."""
    _kill(studio.process)


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@contextmanager
def running_studio(home: Path, **environment: str) -> Iterator[RunningStudio]:
    """Run a studio for the time of a with block."""
    studio = start(home, environment)
    try:
        yield studio
    finally:
        stop(studio)


def processes_of(home: Path) -> list[str]:
    """Return the command lines of all processes that work on `home` (Linux)."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command and (str(home).encode() in command or f"HONE_HOME={home}".encode() in environment):
                found.append(command.replace(b"\0", b" ").decode(errors="replace").strip())
    return found
