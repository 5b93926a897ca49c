"""`hone up`: the whole studio on one machine, in the foreground: web, workers for both queues, inference.

A second start on the same home is refused. `hone worker` with several GPUs runs its workers as such a family, too.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING

import httpx

from app.config import PROJECT_ROOT
from app.db.session import make_engine, unit_of_work
from app.gateways.backups import Backups
from app.gateways.environment import child_environment
from app.gateways.family import Child, Family
from app.gateways.gpus import Gpu, visible_gpus
from app.gateways.lifeline import is_running, process_space, when_told_to_leave
from app.gateways.log_file import rotate
from app.gateways.logs import entry
from app.gateways.starting import CannotStart, starting
from app.gateways.upgrading import bring_up_to_date
from app.services.accounts import Accounts
from app.services.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from app.config import Settings

END_SECONDS = 9.0
"""After this long a child that was told to leave is killed; all must be gone within ten seconds."""
READY_SECONDS = 120.0
LOOK_SECONDS = 60.0
"""How often it is seen whether the log has become large; a disk that takes no copy of it is left alone as long."""
WORKERS_END_SECONDS = 130.0
"""The same for workers alone, whose trainers may take two minutes to save."""
WORKERS_FAREWELL = "The workers are leaving; what they were at goes on where a worker is free."
PYTHON = [sys.executable, "-m"]


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
        studio = Studio(settings, listener, for_inference, log, as_json=as_json)
        when_told_to_leave(studio.leave)
        return studio.run()


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


class Studio(Family):
    """All children of one `hone up`."""

    def __init__(
        self, settings: Settings, listener: socket.socket, for_inference: socket.socket, log: IO[bytes], *, as_json: bool = False
    ) -> None:
        self.settings, self.as_json, self._look_at = settings, as_json, 0.0
        host, port = listener.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.root_path}"
        farewell = "Hone is stopping; a run under way goes on at the next start."
        children = list(self._planned(listener, for_inference))
        super().__init__(children, log, end_seconds=END_SECONDS, farewell=farewell, where=f"See {settings.log_file}")

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
        yield Child("web", [*PYTHON, "app.main"], environment, PROJECT_ROOT, (listener.fileno(),))
        if settings.workers:
            # What contacts others for a project opens its keys: the web, and the worker that fetches and measures; no trainer is near it.
            yield from _workers("cpu", [], [], environment)
            theirs = {name: value for name, value in environment.items() if name != "HONE_SECRET_KEY"}
            yield from _workers("gpu", visible_gpus(), [], theirs)
        if starts_inference:
            # It reads foreign models, so it knows no database, no broker and no token.
            told = {name: environment[name] for name in ("HONE_HOME", "HONE_INFERENCE_KEY", "HONE_LOG_FORMAT", "PYTHONUNBUFFERED")}
            command = [*PYTHON, "workers.inference", "--fd", str(for_inference.fileno())]
            yield Child("inference", command, child_environment(own="HONE_INFERENCE_") | told, PROJECT_ROOT, (for_inference.fileno(),))

    def run(self) -> int:
        """Keep the studio running until asked to leave, and say when it is ready."""
        threading.Thread(target=self._say_when_ready, daemon=True).start()
        return super().run()

    def say(self, line: str) -> None:
        """Tell whoever started this, and the log."""
        super().say(line)
        if self.log:
            with suppress(OSError):
                self.log.write(entry("up", line, self.settings.log_format))

    def tend(self) -> None:
        """Keep the log small."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            rotate(self.settings.log_file)

    def _say_when_ready(self) -> None:
        warn_at = time.monotonic() + READY_SECONDS
        # localhost's own proxies settings must not get between us and ourselves.
        with httpx.Client(trust_env=False, timeout=5, headers={"Host": "127.0.0.1"}) as client:
            while not self._is_ready(client):
                if self.leaving.wait(0.1):
                    return
                if time.monotonic() > warn_at:
                    warn_at = math.inf
                    self.say(f"Hone is still not ready after {READY_SECONDS:g} s; {self.address}/readyz says what is missing.")
        line = json.dumps({"ready": self.address}) if self.as_json else f"Hone is ready at {self.address}"
        print(line, flush=True)  # noqa: T201 - scripts wait for this line
        show_in_browser(self.address)

    def _is_ready(self, client: httpx.Client) -> bool:
        address = self.address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        try:
            return client.get(f"{address}/readyz").status_code == 200  # noqa: PLR2004 - HTTP's own number
        except httpx.HTTPError:
            return False


def _workers(queue: str, gpus: Sequence[Gpu], options: list[str], environment: dict[str, str]) -> Iterator[Child]:
    """Plan a worker of a queue for each of some GPUs, or one where there is none."""
    command = [*PYTHON, "workers.supervisor", "--queue", queue, *options]
    if len(gpus) < 2:  # noqa: PLR2004 - one needs no number
        yield Child(f"{queue} worker", [*command, *(["--device", gpus[0].uuid] if gpus else [])], environment, PROJECT_ROOT)
        return
    for gpu in gpus:
        yield Child(f"{queue} worker of GPU {gpu.index}", [*command, "--device", gpu.uuid], environment, PROJECT_ROOT)


def work(gpus: Sequence[Gpu], options: list[str]) -> int:
    """Run a worker for each of some GPUs until SIGINT or SIGTERM; all leave together, and take the time to save."""
    children = list(_workers("gpu", gpus, ["--sibling", *options], dict(os.environ)))
    family = Family(children, None, end_seconds=WORKERS_END_SECONDS, farewell=WORKERS_FAREWELL, where="")
    when_told_to_leave(family.leave)
    return family.run()


def show_in_browser(address: str) -> None:
    """Open the browser, but only for somebody who sits at this machine."""
    has_display = sys.platform in {"darwin", "win32"} or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if sys.stdout.isatty() and has_display:
        webbrowser.open(address)
