"""A GPU that chats and runs share: the inference server frees it when a run begins, and may take it again at its end."""

from __future__ import annotations

import threading
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpx
import structlog

from app.db import Run
from app.db.session import reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from workers.worker import Worker

log = structlog.get_logger()
YIELD_SECONDS = 60.0
"""The server answers once the memory is free, which may wait for a large base that is just being loaded."""
RESUME_SECONDS = 5.0
AGAIN_SECONDS = 5.0
"""A server that was started anew has to hear of it before it has loaded a model."""


@dataclass(frozen=True)
class Borrower:
    """An attempt at a run that takes the GPU which chats may be using; the run's name is for people, and not its alone."""

    id: str
    name: str


def borrower_of(worker: Worker, run_id: str, token: int) -> Borrower | None:
    """Return who takes the worker's GPU; None where there is none, or a run that does without."""
    if not worker.has_gpu:
        return None
    with reading(worker.engine) as session:
        run = session.get_one(Run, run_id)
        on_cpu = run.spec.get("settings", {}).get("device") == "cpu"
        return None if on_cpu else Borrower(f"{run.id}-t{token}", run.name)


class LentGpu:
    """Has the inference server leave the GPU to a borrower for the time of a with block; `is_free` is set once it has, or cannot be told.

    In a thread of its own, so that nobody waits for a server that hangs, and the last word is that the GPU is given back.
    """

    def __init__(self, worker: Worker, borrower: Borrower | None) -> None:
        self.is_free = threading.Event()
        self._worker, self._borrower = worker, borrower
        self._over = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._lend,), name="lent gpu", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; the server is told, but not waited for."""
        self._over.set()
        self._thread.join(RESUME_SECONDS)

    def _lend(self) -> None:
        try:
            if self._borrower:
                self._lend_to(self._borrower)
        finally:
            self.is_free.set()

    def _lend_to(self, borrower: Borrower) -> None:
        taken = {"holder": borrower.id, "run": borrower.name}
        reached = _tell(self._worker, "/yield", taken, patience=YIELD_SECONDS)
        self.is_free.set()
        while not self._over.wait(AGAIN_SECONDS):
            reached = _tell(self._worker, "/yield", taken, patience=YIELD_SECONDS, is_known=not reached)
        take_back(self._worker, borrower)


def take_back(worker: Worker, borrower: Borrower | None = None) -> None:
    """Tell the inference server that a borrower (or whoever it was) has the worker's GPU no more."""
    _tell(worker, "/resume", {"holder": borrower.id if borrower else None}, patience=RESUME_SECONDS)


def _tell(worker: Worker, path: str, told: Mapping[str, str | None], *, patience: float, is_known: bool = False) -> bool:
    """Tell the inference server of this studio something of the worker's GPU; False when it is away, and has none to give."""
    url, key = worker.settings.inference_url, worker.settings.inference_key
    if not (worker.gpu and url and key):
        return True
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
    try:
        httpx.post(url + path, json={"device": worker.gpu, **told}, headers=headers, timeout=patience, trust_env=False).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        (log.debug if is_known else log.warning)("the inference server could not be told", path=path, error=str(error))
        return False
    return True
