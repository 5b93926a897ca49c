"""On a CPU a step's rows are computed by several processes of one thread each, which wait for each other once a step.

Threads of one process wait for each other at every product, which costs small models a quarter of the time, and far more where
something else wants a core too. A replica is a fork of the trainer, so the frozen base lies in memory once; adapters and the gradients
that replicas find are shared with it. A step stays its rows: its gradient is the sum of what all processes find.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import mmap
import os
import signal
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import torch

from workers.lifeline import die_with_parent
from workers.pipes import has_something
from workers.training.batches import Layout, in_parts, lay_out
from workers.training.memory import as_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.domain.specs import TrainingSettings
    from workers.training.batches import Batch
    from workers.training.loss import TrainedTokenLoss
    from workers.training.masks import MaskedRow
    from workers.training.model import LoadedModel

UNBOUNDED = 1 << 40
"""Tokens at once: a replica computes the batches it is told as they are."""
LEAST_TOKENS = 256
"""Tokens of a step for each process, on average: products of fewer are too small."""
LITTLE_SHARED = 0.1
"""Where rows begin alike, what they share would be computed by every process."""
ROOM = 512 << 20
"""Bytes for a replica beside what it computes with."""
STANDARD = {0, 1, 2}
"""Input, output and errors."""
LOOK = 0.5
"""Seconds between two looks at whether somebody wants the run to end, while a replica is waited for."""
PATIENCE, TIMES = 60.0, 20
"""A replica is waited for so many seconds, and so many times what the trainer's own part of the step took: then it counts as hanging."""
READY, READY_SECONDS = b"ready\n", 10.0
"""What a replica says once it can compute, and how long that may take."""
GONE = "A process that computed a part of each step is gone."
HANGS = "A process that computed a part of each step does not answer."
SHORT = "There is not enough memory for the processes that compute a part of each step."


class ReplicaLost(Exception):
    """A replica has died, does not answer, or could not compute its part; the text says so to people."""


@dataclass(frozen=True)
class Work:
    """What is computed, as it was when the replicas were made; the adapters' values are shared from then on."""

    loss: TrainedTokenLoss
    trained: Sequence[torch.nn.Parameter]
    rows: Sequence[MaskedRow]
    layout: Layout


@dataclass
class _Replica:
    """A replica as the trainer sees it."""

    process: int
    tasks: BinaryIO
    answers: BinaryIO
    gradients: Sequence[torch.Tensor]
    grown: int = 0
    """Bytes it has taken for itself."""

    def send(self, batches: Sequence[Batch], tokens: int) -> None:
        """Have it compute these batches of a step with so many trained tokens."""
        task = {"batches": [batch.rows for batch in batches], "tokens": tokens}
        try:
            self.tasks.write(json.dumps(task).encode() + b"\n")
            self.tasks.flush()
        except OSError as error:
            raise ReplicaLost(GONE) from error

    def answer(self, still: Callable[[], None], patience: float) -> dict[str, Any]:
        """Return what it answers within so many seconds; `still` is called now and then, and may raise."""
        for _ in range(math.ceil(patience / LOOK)):  # looks are counted: a trainer that is stopped for a while takes none
            if has_something(self.answers, LOOK):
                break
            still()
        else:
            raise ReplicaLost(HANGS)
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            raise ReplicaLost(GONE)
        answer: dict[str, Any] = json.loads(line)
        if answer["short"]:
            raise ReplicaLost(SHORT)
        self.grown = max(self.grown, answer["grown"])
        return answer

    def is_ready(self) -> bool:
        """Wait until it can compute; False if it cannot."""
        return has_something(self.answers, READY_SECONDS) and self.answers.readline() == READY

    def end(self) -> None:
        """Kill it and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.process, 0)
        for pipe in (self.tasks, self.answers):
            with suppress(OSError):
                pipe.close()


@dataclass
class Replicas:
    """The replicas of a trainer; with none, it computes everything itself."""

    work: Work
    members: list[_Replica] = field(default_factory=list)
    _threads: int = field(default_factory=torch.get_num_threads)

    def start(self, many: int) -> None:
        """Fork so many replicas, or none where the system refuses. What is trained moves into memory that is shared with them."""
        was_frozen = gc.get_freeze_count() > 0
        gc.collect()
        gc.freeze()  # else the collector would write to every object, and each replica get a copy of its own
        try:
            for weight in self.work.trained:
                weight.data = _shared_like(weight).copy_(weight.data)
            for _ in range(many):
                self.members.append(_fork(self.work))  # one by one: those that there are must be ended where the next is refused
        except OSError:
            self.close()
        finally:
            if not was_frozen:
                gc.unfreeze()
        if not all(member.is_ready() for member in self.members):
            self.close()

    @property
    def processes(self) -> int:
        """Return how many processes compute a step, the trainer itself included."""
        return len(self.members) + 1

    @property
    def held(self) -> int:
        """Return how many bytes the replicas hold beside what they share with the trainer."""
        return sum(member.grown for member in self.members)

    @contextmanager
    def computing(self, batches: Sequence[Batch], tokens: int, still: Callable[[], None]) -> Iterator[tuple[Sequence[Batch], list[float]]]:
        """Have each replica compute its part of a step of so many trained tokens; yield the trainer's own part and a list for losses.

        When the block ends, the replicas' gradients are added to the weights' and the summed losses of their parts stand in the list.
        ReplicaLost when one is gone or hangs, or its memory ran out. After a block that ends otherwise they must be closed: they go on with
        that step, and would answer the next one with it.
        """
        losses: list[float] = []
        if not self.members:
            yield batches, losses
            return
        mine, *parts = in_parts(batches, self.processes, lambda batch: batch.computed)
        torch.set_num_threads(1)
        try:
            for member, part in zip(self.members, parts, strict=True):
                member.send(part, tokens)
            began = time.monotonic()
            yield mine, losses
            patience = PATIENCE + TIMES * (time.monotonic() - began)
            losses += [self._collect(member, still, patience) for member in self.members]
        except (RuntimeError, MemoryError) as error:
            if as_out_of_memory(error) is None:
                raise
            raise ReplicaLost(SHORT) from error
        finally:
            torch.set_num_threads(self._threads)

    def _collect(self, member: _Replica, still: Callable[[], None], patience: float) -> float:
        answer = member.answer(still, patience)
        for place in answer["found"]:
            weight, found = self.work.trained[place], member.gradients[place]
            weight.grad = found.clone() if weight.grad is None else weight.grad.add_(found)
        return float(answer["summed"])

    def close(self) -> None:
        """End them all; from then on the trainer computes everything itself."""
        for member in self.members:
            member.end()
        self.members.clear()


def replicas_that_pay(
    model: LoadedModel, rows: Sequence[MaskedRow], settings: TrainingSettings, layout: Layout, shared_share: float
) -> int:
    """Return how many replicas make a run faster: one for each further thread, or none. It hangs on what a later attempt finds as well."""
    many = torch.get_num_threads() - 1
    tokens = sum(len(row.ids) - 1 for row in rows) / max(1, len(rows)) * min(settings.batch_size, len(rows))
    pays = (
        sys.platform == "linux"  # elsewhere libraries do not outlive a fork
        and model.device.type == "cpu"
        and model.peft is not None
        and settings.dropout == 0  # or random numbers would hang on who computes a row
        and layout is not Layout.PADDED
        and shared_share < LITTLE_SHARED
        and tokens >= LEAST_TOKENS * (many + 1)
    )
    return many if pays else 0


def _shared_like(tensor: torch.Tensor) -> torch.Tensor:
    """Return zeros in memory that processes forked from now on share."""
    memory = mmap.mmap(-1, max(1, tensor.numel()) * tensor.element_size())
    return torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel()).view(tensor.shape)


def _fork(work: Work) -> _Replica:
    gradients = [_shared_like(weight) for weight in work.trained]
    trainer, ends = os.getpid(), list[int]()
    try:
        for _ in range(2):
            ends += os.pipe()
        with warnings.catch_warnings():
            # Python warns of the threads a trainer has; none of them holds a lock that a replica takes.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
    except OSError:
        for end in ends:
            os.close(end)
        raise
    task_end, tasks, answers, answer_end = ends
    if not process:
        _be_replica(work, gradients, trainer, (task_end, answer_end))
    os.close(task_end)
    os.close(answer_end)
    return _Replica(process, os.fdopen(tasks, "wb"), os.fdopen(answers, "rb"), gradients)


def _be_replica(work: Work, gradients: Sequence[torch.Tensor], trainer: int, ends: tuple[int, int]) -> NoReturn:
    try:
        _settle(trainer, set(ends))
        # Where a device has threads of its own, autograd refuses to work in a fork: said before anybody counts on it.
        torch.zeros(1, requires_grad=True).sum().backward()
        with os.fdopen(ends[0], "rb") as tasks, os.fdopen(ends[1], "wb") as answers:
            answers.write(READY)
            answers.flush()
            _serve(work, gradients, tasks, answers)
    except BaseException:  # noqa: BLE001 - a process of its own ends here
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def _settle(trainer: int, kept: set[int]) -> None:
    """Be a process that ends with the trainer, holds nothing of its files and locks, and uses one thread."""
    die_with_parent()
    if os.getppid() != trainer:
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):  # for the trainer to take: it leaves at a safe point
        signal.signal(number, signal.SIG_IGN)
    for descriptor in {int(entry.name) for entry in Path("/proc/self/fd").iterdir()} - kept - STANDARD:
        with suppress(OSError):  # what listed them is closed by now
            os.close(descriptor)
    # The threads of the trainer's OpenMP are not here: a replica must never wait for them.
    torch.set_num_threads(1)
    for library in {line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if "libgomp" in line}:
        ctypes.CDLL(library).omp_set_num_threads(1)


def _serve(work: Work, gradients: Sequence[torch.Tensor], tasks: BinaryIO, answers: BinaryIO) -> None:
    before = _own_bytes()
    for line in tasks:
        task = json.loads(line)
        answer = _computed(work, gradients, task["batches"], task["tokens"])
        answers.write(json.dumps(answer | {"grown": max(0, _own_bytes() - before)}).encode() + b"\n")
        answers.flush()


def _own_bytes() -> int:
    """Return the memory that is backed by no file and shared with nobody but, until it is written to, the trainer."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def _computed(work: Work, gradients: Sequence[torch.Tensor], batches: Sequence[Sequence[int]], tokens: int) -> dict[str, Any]:
    """Leave the gradient of these batches in `gradients`; return their summed loss and which weights have one, or that memory ran out."""
    summed, found = 0.0, []
    try:
        for numbers in batches:
            for batch in lay_out([(number, work.rows[number]) for number in numbers], work.layout, token_budget=UNBOUNDED):
                summed += work.loss.learn(batch, tokens)
        for place, (weight, shared) in enumerate(zip(work.trained, gradients, strict=True)):
            if weight.grad is not None:
                shared.copy_(weight.grad)
                found.append(place)
    except (RuntimeError, MemoryError) as error:
        if as_out_of_memory(error) is None:
            raise
        return {"short": True}
    finally:
        for weight in work.trained:
            weight.grad = None
    return {"short": False, "summed": summed, "found": found}
