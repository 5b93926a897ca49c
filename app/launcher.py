"""`hone up`: the whole studio on one machine, in the foreground: web, workers for both queues, inference.

Children hold a pipe to this process and leave when it ends, even by kill -9. One that dies is started again. A second start on the same
home is refused.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import httpx

from app.config import PROJECT_ROOT
from app.db.session import make_engine, unit_of_work
from app.gateways.backups import Backups
from app.gateways.environment import child_environment
from app.gateways.lifeline import is_running, process_space
from app.gateways.log_file import rotate
from app.gateways.starting import CannotStart, starting
from app.gateways.upgrading import bring_up_to_date
from app.services.accounts import Accounts
from app.services.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.config import Settings

END_SECONDS = 9.0
"""After this long a child that was told to leave is killed; all must be gone within ten seconds."""
READY_SECONDS = 120.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0


def prepare(settings: Settings) -> None:
    """Make the home, bring the database up to date, and make sure there is an owner."""
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = make_engine(settings.database)
    try:
        bring_up_to_date(engine, Backups(settings.home.resolve() / "backups") if settings.backup else None, _tell)
        with unit_of_work(engine) as session:
            Accounts(session).ensure_owner()
    finally:
        engine.dispose()


def _tell(line: str) -> None:
    print(f"hone: {line}", file=sys.stderr, flush=True)  # noqa: T201 - talk goes to stderr


def up(settings: Settings, *, as_json: bool = False) -> int:
    """Run the studio until SIGINT or SIGTERM; return the exit code. CannotStart says what is in the way."""
    os.umask(0o077)
    with ExitStack() as held:
        with starting():
            settings.home.mkdir(parents=True, exist_ok=True)
            held.enter_context(_only_one(settings))
            listener, for_inference = held.enter_context(_bound(settings)), held.enter_context(socket.socket())
            for_inference.bind(("127.0.0.1", 0))
            prepare(settings)
            _may_listen(settings)
            _strike_off_dead(settings)
            log = held.enter_context(_log(settings.log_file))
        family = Family(settings, listener, for_inference, log, as_json=as_json)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: family.leave())
        return family.run()


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    path = settings.home / "hone.lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            other = file.read().strip() or "another process"
            message = f"Hone already runs on {settings.home} ({other}). Stop it, or choose another --home."
            raise CannotStart(message) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            message = f"Port {settings.port} of {settings.host} cannot be used ({error.strerror}). Choose another with --port."
            raise CannotStart(message) from None
        listener.listen(512)
        yield listener


def _may_listen(settings: Settings) -> None:
    if settings.local_owner:
        return
    engine = make_engine(settings.database)
    with unit_of_work(engine) as session:
        has_keys = Accounts(session).has_keys()
    engine.dispose()
    if not has_keys:
        where = settings.allowed_hosts or settings.host
        message = f"Others could reach Hone on {where}, and nobody can sign in yet. First run: hone token create --name you"
        raise CannotStart(message)


def _strike_off_dead(settings: Settings) -> None:
    """After a kill -9 the workers of the last time still look alive, and this time's would be thought ready before they are."""
    engine = make_engine(settings.database)
    with unit_of_work(engine) as session:
        Workers(session).strike_off_dead(process_space(), is_running)
    engine.dispose()


@contextmanager
def _log(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        yield file


@dataclass
class Child:
    """A part of the studio: how it is started, and its process while it runs."""

    name: str
    command: list[str]
    environment: dict[str, str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = field(default_factory=time.monotonic)

    def start(self, log: IO[bytes]) -> None:
        """Start the process in a session of its own, its standard input a pipe from here."""
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=PROJECT_ROOT, env=self.environment,
            pass_fds=self.pass_fds, start_new_session=True,
        )  # fmt: skip
        self.started = time.monotonic()

    def has_died(self) -> bool:
        """Return whether it was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    def plan_restart(self) -> float:
        """Note when to start again, later each time it fails quickly; return the pause in seconds."""
        steady = time.monotonic() - self.started > STEADY_SECONDS
        self.failures = 0 if steady else self.failures + 1
        pause: float = min(LONGEST_PAUSE_SECONDS, 0.5 * 2**self.failures)
        self.process, self.start_at = None, time.monotonic() + pause
        return pause


class Family:
    """All children of one `hone up`."""

    def __init__(
        self, settings: Settings, listener: socket.socket, for_inference: socket.socket, log: IO[bytes], *, as_json: bool = False
    ) -> None:
        self.settings, self.log, self.as_json = settings, log, as_json
        host, port = listener.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.root_path}"
        self.leaving = threading.Event()
        self.children = list(self._planned(listener, for_inference))

    def _planned(self, listener: socket.socket, for_inference: socket.socket) -> Iterator[Child]:
        settings = self.settings
        environment = os.environ | {
            "HONE_HOME": str(settings.home.resolve()), "HONE_HOST": settings.host, "HONE_WORKERS": str(settings.workers).lower(),
            "HONE_ROOT_PATH": settings.root_path, "HONE_LOG_FORMAT": settings.log_format,
            "HONE_WEB_FD": str(listener.fileno()), "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        starts_inference = settings.workers and not settings.inference_url
        if starts_inference:
            address = f"http://127.0.0.1:{for_inference.getsockname()[1]}"
            environment |= {"HONE_INFERENCE_URL": address, "HONE_INFERENCE_KEY": secrets.token_urlsafe(24)}
        python = [sys.executable, "-m"]
        yield Child("web", [*python, "app.main"], environment, (listener.fileno(),))
        if settings.workers:
            for queue in ("cpu", "gpu"):
                # What opens the secrets of the database is the web's alone.
                theirs = {name: value for name, value in environment.items() if name != "HONE_SECRET_KEY"}
                yield Child(f"{queue} worker", [*python, "workers.supervisor", "--queue", queue], theirs)
        if starts_inference:
            # It reads foreign models, so it knows no database, no broker and no token.
            told = {name: environment[name] for name in ("HONE_HOME", "HONE_INFERENCE_KEY", "HONE_LOG_FORMAT", "PYTHONUNBUFFERED")}
            command = [*python, "workers.inference", "--fd", str(for_inference.fileno())]
            yield Child("inference", command, child_environment(own="HONE_INFERENCE_") | told, (for_inference.fileno(),))

    def leave(self) -> None:
        """Ask the family to end."""
        self.leaving.set()

    def run(self) -> int:
        """Keep the children running until asked to leave."""
        threading.Thread(target=self._say_when_ready, daemon=True).start()
        while not self.leaving.is_set():
            for child in self.children:
                self._look_after(child)
            rotate(self.settings.log_file)
            self.leaving.wait(0.2)
        self._say("Hone is stopping; a run under way goes on at the next start.")
        self._end()
        return 0

    def _look_after(self, child: Child) -> None:
        if child.has_died() and child.process:
            code = child.process.returncode
            _close(child.process)
            pause = child.plan_restart()
            self._say(f"The {child.name} ended (exit {code}); starting it again in {pause:g} s. See {self.settings.log_file}")
        if child.process is None and time.monotonic() >= child.start_at:
            child.start(self.log)

    def _say_when_ready(self) -> None:
        warn_at = time.monotonic() + READY_SECONDS
        # localhost's own proxies settings must not get between us and ourselves.
        with httpx.Client(trust_env=False, timeout=5, headers={"Host": "127.0.0.1"}) as client:
            while not self._is_ready(client):
                if self.leaving.wait(0.1):
                    return
                if time.monotonic() > warn_at:
                    warn_at = math.inf
                    self._say(f"Hone is still not ready after {READY_SECONDS:g} s; {self.address}/readyz says what is missing.")
        line = json.dumps({"ready": self.address}) if self.as_json else f"Hone is ready at {self.address}"
        print(line, flush=True)  # noqa: T201 - scripts wait for this line
        show_in_browser(self.address)

    def _is_ready(self, client: httpx.Client) -> bool:
        address = self.address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        try:
            return client.get(f"{address}/readyz").status_code == 200  # noqa: PLR2004 - HTTP's own number
        except httpx.HTTPError:
            return False

    def _end(self) -> None:
        """Tell all to leave, and kill what has not left in time."""
        running = [child.process for child in self.children if child.process]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            _close(process)

    def _say(self, line: str) -> None:
        # Where there is no room for a line, the studio goes on without it.
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - talk goes to stderr
        with suppress(OSError):
            self.log.write(f"{line}\n".encode())


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()


def show_in_browser(address: str) -> None:
    """Open the browser, but only for somebody who sits at this machine."""
    has_display = sys.platform in {"darwin", "win32"} or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if sys.stdout.isatty() and has_display:
        webbrowser.open(address)
