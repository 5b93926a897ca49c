"""All pages, hung into the application: routes, static files, and what a failure looks like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from app.db.session import UNREACHABLE, in_words, journal_mode
from app.domain.errors import StudioError
from app.web import errors
from app.web.live import Live
from app.web.pages import Pages
from app.web.parts import Web
from app.web.routes import (
    account,
    baselines,
    board,
    chat,
    cloud_costs,
    compare,
    connections,
    dataset_tabs,
    datasets,
    desk,
    docs,
    estimates,
    goal,
    home,
    hub_models,
    live,
    mapping,
    models,
    new_run,
    precision,
    prices,
    run_list,
    runs,
    samples,
    search,
    settings,
    sources,
    tour,
    webhooks,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

ROOT = Path(__file__).resolve().parents[2]
# /models/hub stands before /models/{slug}, /runs/new and /runs/delete stand before /runs/{id}, /datasets/from before /datasets/{id}.
ROUTES = (
    home,
    goal,
    baselines,
    hub_models,
    models,
    precision,
    cloud_costs,
    estimates,
    prices,
    connections,
    samples,
    sources,
    datasets,
    desk,
    mapping,
    dataset_tabs,
    new_run,
    run_list,
    compare,
    runs,
    board,
    chat,
    search,
    settings,
    webhooks,
    account,
    docs,
    live,
    tour,
)
log = structlog.get_logger()


class Assets(StaticFiles):
    """Static files; an address that names its content's version may be kept for good."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer with a file."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if b"v=" in scope["query_string"] else "no-cache"
        return response


class Deployment(Protocol):
    """What the settings page tells of a deployment."""

    home: Path
    host: str
    redis_url: str | None
    inference_url: str | None
    root_path: str

    @property
    def database(self) -> str:
        """The database's address."""

    @property
    def store_address(self) -> str:
        """Where files are kept."""


def add_pages(app: FastAPI, deployment: Deployment) -> None:
    """Add every page to the application, whose `state.studio` is set."""
    app.state.web = Web(Pages(ROOT / "templates", ROOT / "static", deployment.root_path), Live(app.state.studio.engine), about(deployment))
    app.mount("/static", Assets(directory=ROOT / "static"), name="static")
    for module in ROUTES:
        app.include_router(module.router)


def about(deployment: Deployment) -> dict[str, str]:
    """Return the facts of a deployment as the settings page shows them; no secrets."""
    is_sqlite = deployment.database.startswith("sqlite")
    return {
        "Home": str(deployment.home.resolve()),
        "Database": f"SQLite, journal mode {journal_mode()}" if is_sqlite else "PostgreSQL",
        "Store": deployment.store_address,
        "Workers hear of work": "from Redis" if deployment.redis_url else "by looking every second",
        "Inference server": deployment.inference_url or "none",
        "Listens on": deployment.host,
        "Outside addresses": "none by itself: only webhooks and outside models that somebody added, and the Hub when asked",
    }


def answer_error(request: Request, error: Exception) -> Response:
    """Turn any failure into a page, or into a notice on the page one is on; the log gets what nobody foresaw."""
    return errors.page_for(request, _in_words(request, error))


def _in_words(request: Request, error: Exception) -> StudioError:
    if isinstance(error, StudioError):
        return error
    if isinstance(error, HTTPException):
        return errors.for_status(error.status_code)
    if isinstance(error, RequestValidationError):
        return errors.unreadable(error)
    if isinstance(error, UNREACHABLE):
        log.warning("the database did not answer", path=request.scope["path"], error=str(error))
        return in_words(error)
    log.error("a page failed", path=request.scope["path"], exc_info=error)
    return errors.broken(request.state.request_id)
