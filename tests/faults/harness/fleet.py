"""Worker processes of a test: started, killed, put to sleep and woken by their numbers; and the list of what is left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from app.domain.ids import new_id
from tests.conftest import ROOT
from tests.faults.harness import trainer

LEAVE_SECONDS = 60.0
"""A generous deadline: what has not gone by then is an orphan."""


@dataclass(frozen=True)
class Pace:
    """How long a run is: its steps, a step's seconds, every how many steps it saves; and for how long a lease holds."""

    steps: int = 16
    step_seconds: float = 0.04
    checkpoint_every: int = 4
    lease_seconds: float = 2.0


@dataclass
class Member:
    """One worker process."""

    id: str
    pid: int
    machine: str
    asleep: bool = False

    def trainers(self) -> list[int]:
        """Return the numbers of its trainers."""
        try:
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@dataclass
class Fleet:
    """Workers on several machines, as they believe, with one folder and one database."""

    database: str
    home: Path
    pace: Pace = field(default_factory=Pace)
    without: tuple[str, ...] = ()
    members: list[Member] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start the process that workers are forked from."""
        settings = {
            trainer.STEPS: str(self.pace.steps),
            trainer.STEP_SECONDS: str(self.pace.step_seconds),
            trainer.CHECKPOINT_EVERY: str(self.pace.checkpoint_every),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        with (self.home / "fleet.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.faults.harness.zygote", str(self.home)]
            # fmt: off
            self._zygote = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
            # fmt: on
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Tell everybody to leave, and end whoever does not."""
        for member in self.members:
            send([member.pid], signal.SIGCONT)
            send([member.pid], signal.SIGTERM)
        self.wait_for(lambda: not any(psutil.pid_exists(member.pid) for member in self.members))
        self._zygote.kill()
        self._zygote.communicate()

    def start(self, *machines: str) -> None:
        """Start a worker on each of some machines."""
        self.members += [self._start(machine) for machine in machines]

    def _start(self, machine: str) -> Member:
        assert self._zygote.stdin
        assert self._zygote.stdout
        order = {"id": new_id(), "machine": machine, "home": str(self.home), "database": self.database, "without": self.without}
        self._zygote.stdin.write(json.dumps(order | {"lease_seconds": self.pace.lease_seconds}) + "\n")
        self._zygote.stdin.flush()
        return Member(str(order["id"]), int(self._zygote.stdout.readline()), machine)

    def kill(self, member: Member) -> None:
        """Kill -9 a worker, and have another one start on its machine."""
        send([member.pid], signal.SIGKILL)
        self.members.remove(member)
        self.start(member.machine)

    def abandon(self) -> None:
        """Kill -9 everybody."""
        send([member.pid for member in self.members], signal.SIGKILL)

    def freeze(self, member: Member, seconds: float, *, trainer_too: bool) -> None:
        """Stop a worker for a while as a frozen machine does; without its trainer, that one goes on meanwhile."""
        frozen = member.trainers() if trainer_too else []
        send(frozen, signal.SIGSTOP)
        send([member.pid], signal.SIGSTOP)
        member.asleep = True
        # By a clock of its own: it may be frozen with the database's lock in its hand, and whoever would wake it wait for just that.
        threading.Timer(seconds, self.wake, [member, frozen]).start()

    @staticmethod
    def wake(member: Member, trainers: Sequence[int] = ()) -> None:
        """Let a stopped worker go on, and trainers that were stopped with it."""
        send([*trainers, member.pid], signal.SIGCONT)
        member.asleep = False

    def replace_the_dead(self) -> None:
        """Start a worker for each that ended by itself, as `hone up` does."""
        for member in [member for member in self.members if not psutil.pid_exists(member.pid)]:
            self.kill(member)

    @property
    def awake(self) -> dict[str, Member]:
        """The workers that do not sleep, by their names in the database."""
        return {member.id: member for member in self.members if not member.asleep}

    @staticmethod
    def wait_for(condition: Callable[[], bool], seconds: float = LEAVE_SECONDS) -> bool:
        """Wait until something is so; False when it has not become so in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.05)
        return condition()

    def orphans(self, program: str = "") -> list[str]:
        """Return the processes of a program that stay in this fleet's folder; those who are just about to end are waited for."""
        self.wait_for(lambda: not self._there(program))
        return self._there(program)

    def _there(self, program: str) -> list[str]:
        """Return the processes that work in this fleet's folder: they name it in their command lines, or are in it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                line = [*process.cmdline(), process.cwd()]
                if process.status() != psutil.STATUS_ZOMBIE and any(str(self.home) in word for word in line) and program in " ".join(line):
                    found.append(f"{process.pid} {' '.join(line)}")
        return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes that may have gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
