"""Whether the process lives, whether the studio is ready, and its numbers for Prometheus. No key: nothing private is said."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app.api.dependencies import ReadSession, StudioDep
from app.db import Run
from app.db.base import utc_now
from app.db.migrate import is_current
from app.db.session import reading
from app.domain.runs import RunStatus
from app.services.studio import Studio
from app.services.workers import Workers

router = APIRouter(tags=["health"])
QUEUES = {"cpu", "gpu"}


@router.get("/livez", operation_id="livez")
def livez() -> dict[str, str]:
    """Say that the web process answers."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readyz")
def readyz(request: Request, studio: StudioDep) -> JSONResponse:
    """Say whether everything a person needs is there: 200 or 503, and which part is missing."""
    checks = _data_checks(studio)
    if studio.expects_workers:
        checks["workers"] = checks["database"] and _all_queues_are_served(studio)
        checks["inference"] = request.app.state.inference.is_alive()
    ready = all(checks.values())
    return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)


def _data_checks(studio: Studio) -> dict[str, bool]:
    storage = studio.incoming.is_dir()
    try:
        return {"database": True, "migrations": is_current(studio.engine), "storage": storage}
    except SQLAlchemyError:
        return {"database": False, "migrations": False, "storage": storage}


def _all_queues_are_served(studio: Studio) -> bool:
    with reading(studio.engine) as session:
        return {worker.queue for worker in Workers(session).alive()} >= QUEUES


@router.get("/metrics", operation_id="metrics", response_class=PlainTextResponse)
def metrics(session: ReadSession) -> PlainTextResponse:
    """Give Prometheus its numbers (text format 0.0.4)."""
    counted = dict(session.execute(select(Run.status, func.count()).group_by(Run.status)).all())
    lines = ["# HELP hone_runs Runs by state.", "# TYPE hone_runs gauge"]
    lines += [f'hone_runs{{status="{status}"}} {counted.get(status, 0)}' for status in RunStatus]
    oldest = session.scalar(select(func.min(Run.created_at)).where(Run.status == RunStatus.QUEUED))
    waited = (utc_now() - oldest).total_seconds() if oldest else 0.0
    lines += ["# HELP hone_queue_oldest_seconds How long the oldest queued run has waited.", "# TYPE hone_queue_oldest_seconds gauge"]
    lines += [f"hone_queue_oldest_seconds {max(0.0, waited):.1f}"]
    alive = len(Workers(session).alive())
    lines += ["# HELP hone_workers Worker processes heard of within a lease.", "# TYPE hone_workers gauge", f"hone_workers {alive}"]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
