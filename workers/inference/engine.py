"""One thread that owns the models: it takes requests in order and lets those under way take turns.

Nothing else touches a model, so there are no locks. Requests for the base in memory join in at once and are answered side by side, a
few tokens each in turn; a request for another base waits until those before it are done, and those after it wait behind it, so that
nobody starves and no base is loaded twice for two people asking at once.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from app.domain.errors import StudioError, Unavailable
from workers.inference.devices import AUTO, FIRST_GPU
from workers.inference.jobs import Failed, Job, Report
from workers.inference.protocol import ServedRequest
from workers.inference.sizes import is_small

if TYPE_CHECKING:
    from workers.inference.answering import Answering

logger = logging.getLogger(__name__)

MAX_WAITING = 64
MAX_SIDE_BY_SIDE = 8


class Engine:
    """Takes requests from any thread and answers them on its own."""

    def __init__(self, device: str, threads: int, gpu: str | None = None) -> None:
        self._wish, self._threads, self._gpu = device, threads, gpu
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._yielded: dict[tuple[str, str], str] = {}  # device and holder, in the order they came, and the name of the holder's run
        self._answering: Answering | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to take requests; nothing heavy is imported before the first."""
        self._thread.start()

    def close(self) -> None:
        """End what is under way with an error and take no more; safe from a signal handler."""
        self._is_closed = True
        self._commands.put(lambda: None)

    def submit(self, request: ServedRequest, tell: Callable[[Report], None]) -> Job:
        """Queue a request; `tell` is called on the engine's thread."""
        job = Job(request, tell)
        self._commands.put(lambda: self._queue(job))
        return job

    def yield_device(self, device: str, holder: str, run: str) -> Future[None]:
        """Leave a device to a holder's run; the future is done when its memory is free, at once if nothing was ever loaded."""
        device = self._own_name(device)
        self._yielded[device, holder] = run
        return self._command(lambda: self._leave(device, run)) if self._answering else _done()

    def resume(self, device: str | None, holder: str | None) -> None:
        """Take a device (or all) back from a holder (or all); it is used again when nobody has it, with the next request."""
        name = device and self._own_name(device)
        for left in list(self._yielded):
            if name in (None, left[0]) and holder in (None, left[1]):
                self._yielded.pop(left, None)

    def _own_name(self, device: str) -> str:
        """Return how torch calls a device here: workers call a GPU by its UUID, and each is somebody's first."""
        return FIRST_GPU if device == self._gpu else device

    def _run_on(self, device: str) -> str | None:
        """Return the name of the run that a device is left to."""
        return next((run for (left, _), run in list(self._yielded.items()) if left == device), None)

    def status(self) -> dict[str, Any]:
        """Return what is loaded, and which device is left to whom."""
        answering = self._answering
        here = answering.device if answering else FIRST_GPU if self._wish == AUTO else self._wish
        run = self._run_on(here)
        return {
            "loaded": answering.loaded_folder if answering else None,
            "adapters": answering.adapter_folders if answering else [],
            "yielded_to": {"device": here, "run": run} if run else None,
            "device": answering.device if answering else None,
        }

    def warm_up(self) -> None:
        """Import what is heavy, so that the first answer waits for its model only."""
        if self._answering is None and not self._commands.qsize():
            self._command(self._ready)

    def _command(self, act: Callable[[], object]) -> Future[None]:
        future: Future[None] = Future()

        def run() -> None:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - the thread's outer edge: whoever waits is told, and others go on
                future.set_exception(error)
            else:
                future.set_result(None)

        self._commands.put(run)
        return future

    def _run(self) -> None:
        while not self._is_closed:
            self._take_commands()
            self._admit()
            for job in self._under_way():
                self._guard(job, partial(self._ready().turn, job))
        for job in [*self._waiting, *self._under_way()]:
            job.tell(Failed(Unavailable("The inference server is shutting down; ask again in a moment.")))

    def _under_way(self) -> list[Job]:
        return list(self._answering.active) if self._answering else []

    def _take_commands(self) -> None:
        try:
            if not self._waiting and not self._under_way():
                self._commands.get()()
            while True:
                self._commands.get_nowait()()
        except queue.Empty:
            return

    def _queue(self, job: Job) -> None:
        # Whoever gave up keeps nobody out: those behind the first would else be counted until it has its turn.
        self._waiting = deque(other for other in self._waiting if not other.is_cancelled)
        if len(self._waiting) >= MAX_WAITING:
            job.tell(Failed(Unavailable(f"{MAX_WAITING} requests are waiting already; try again later.", code="overloaded")))
        else:
            self._waiting.append(job)

    def _admit(self) -> None:
        while self._waiting:
            job = self._waiting[0]
            if not job.is_cancelled and not self._guard(job, partial(self._begin, job)):
                return
            self._waiting.popleft()

    def _begin(self, job: Job) -> bool:
        answering = self._ready()
        return answering.begin(job, self._device_for(job, answering))

    def _guard(self, job: Job, act: Callable[[], bool]) -> bool:
        """Do something for a request and return whether that is settled; a failure settles it too, with an error."""
        try:
            return act()
        except StudioError as error:
            problem = error
        except Exception:  # the thread's outer edge: one bad request must not end all others
            logger.exception("a request failed")
            problem = StudioError("The model failed; the log of the inference server says why.")
        if job in self._under_way():
            self._ready().active.remove(job)
        job.tell(Failed(problem))
        return True

    def _ready(self) -> Answering:
        """Import what is heavy, once."""
        if self._answering is None:
            from workers.inference.answering import Answering

            self._answering = Answering(self._wish, self._threads, side_by_side=MAX_SIDE_BY_SIDE)
        return self._answering

    def _device_for(self, job: Job, answering: Answering) -> str:
        """Return where a model runs now; while its device is left to a run, small ones answer on the CPU and others not at all."""
        run = self._run_on(answering.device)
        if run is None:
            return answering.device
        if not is_small(job.request.hone.base_dir):
            raise yielded(run)
        return "cpu"

    def _leave(self, device: str, run: str) -> None:
        if self._answering:
            self._answering.unload(device, yielded(run))


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def yielded(run: str) -> Unavailable:
    """Return the error for a device that trains just now."""
    return Unavailable(f"The GPU is training {run}; models answer again when it ends.", code="yielded")
