"""Whether the process lives, and whether the studio is ready. No key: nothing is said but which part is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.services.readiness import is_ready

if TYPE_CHECKING:
    from app.services.readiness import Readiness

router = APIRouter(tags=["health"])
THREADS = CapacityLimiter(8)
"""Of its own: a web whose threads all wait for something that hangs must still be able to say so."""


@router.get("/livez", operation_id="livez")
async def livez() -> dict[str, str]:
    """Say that the web process answers."""
    return {"status": "ok"}


@router.get("/healthz", operation_id="healthz", include_in_schema=False)
@router.get("/readyz", operation_id="readyz")
async def readyz(request: Request) -> JSONResponse:
    """Say whether everything a person needs is there, within five seconds: 200 or 503, and which part is missing.

    A disk that is nearly full is told, and decides nothing: what is there still works.
    """
    readiness: Readiness = request.app.state.readiness
    checks = await to_thread.run_sync(readiness.look, limiter=THREADS)
    ready = is_ready(checks)
    return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)
