"""A GPU that chats and runs share: the inference server frees it when a run begins, and may take it again at its end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from app.db.session import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.worker import Worker

log = structlog.get_logger()
YIELD_SECONDS = 60.0
"""The server answers once the memory is free, which may wait for a large base that is just being loaded."""


def borrower_of(worker: Worker, table: type[Any], work_id: str) -> str | None:
    """Return the name under which work takes the GPU that chats may be using; None when it takes none."""
    if not worker.has_gpu:
        return None
    with reading(worker.engine) as session:
        row = session.get_one(table, work_id)
        settings = (getattr(row, "spec", None) or {}).get("settings", {})
        return None if settings.get("device") == "cpu" else str(getattr(row, "name", "an import"))


@contextmanager
def lent_gpu(worker: Worker, borrower: str | None) -> Iterator[None]:
    """Have the inference server leave the GPU to a borrower for the time of a with block."""
    if borrower is None:
        yield
        return
    tell_inference(worker, "/yield", borrower)
    try:
        yield
    finally:
        tell_inference(worker, "/resume", borrower)


def tell_inference(worker: Worker, path: str, run: str | None = None) -> None:
    """Tell the inference server of this studio who has this worker's GPU (None: nobody); a server that is away has none to give."""
    url, key = worker.settings.inference_url, worker.settings.inference_key
    if not (worker.gpu and url and key):
        return
    body = {"device": worker.gpu, "run": run}
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
    try:
        httpx.post(url + path, json=body, headers=headers, timeout=YIELD_SECONDS, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        log.warning("the inference server could not be told", path=path, error=str(error))
