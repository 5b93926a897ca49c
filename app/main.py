"""The web application, assembled: settings in, routes and middleware out. Loads nothing that trains."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response

from app.api import (
    accuracy,
    baselines,
    catalog,
    cloud_costs,
    compare,
    connections,
    datasets,
    desk,
    downloads,
    estimates,
    goal,
    health,
    hub_models,
    metrics,
    openai,
    prices,
    queues,
    run_samples,
    runs,
    samples,
    webhooks,
    workers,
)  # fmt: skip
from app.api import errors as api_errors
from app.api.body_limit import MAX_BODY_BYTES, BodyLimit
from app.config import PROJECT_ROOT, Settings
from app.db.session import UNREACHABLE, make_engine
from app.domain.errors import Forbidden, Invalid, StudioError, TooLarge
from app.domain.specs import STARTER
from app.gateways.catalog import read_catalog
from app.gateways.fetched_bases import FetchedBases
from app.gateways.hub_models import HubModels
from app.gateways.inference import Inference, PreflightServer
from app.gateways.model_folders import ModelFolders
from app.gateways.outside import Outside
from app.gateways.queue import make_queue
from app.gateways.recipes import RecipeBook
from app.gateways.samples import SampleShelf
from app.gateways.secrets import SecretBox
from app.gateways.stores import make_store
from app.gateways.tokens import TokenCounter
from app.services.readiness import Readiness
from app.services.studio import Studio
from app.web import request_log, site
from app.web.courier import Courier
from app.web.csrf import SameOrigin
from app.web.headers import HEADERS, SecurityHeaders
from app.web.request_log import RequestLog
from app.web.root import UnderRoot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from app.api.body_limit import Refuse

ABOUT = "A fine-tuning studio for small language models. Everything here needs an API key: `hone token create --name me`."
CROSS_SITE = Forbidden("Another site caused this request, so it was refused.", code="cross_site")
CANNOT_BE_KEPT = Invalid("Something in this request is of a kind or a size that the database cannot take.", code="out_of_range")
TOO_LARGE = TooLarge(f"A request may hold {MAX_BODY_BYTES // 2**20} MiB at most; only uploads of datasets may be larger.")
OBJECTS_BEFORE_A_SEARCH = 20_000
"""A page leaves hardly any rings of objects behind."""
STARTER_FOLDER = PROJECT_ROOT / "models" / STARTER
SAMPLES_FOLDER = PROJECT_ROOT / "samples"
RECIPES_FOLDER = PROJECT_ROOT / "recipes"
CATALOG_FOLDER = PROJECT_ROOT / "catalog"


def make_studio(settings: Settings) -> Studio:
    """Return the parts of a studio; opens no connection."""
    storage = make_store(settings.store_address, settings.store, settings.cache_bytes)
    fetched = FetchedBases(settings.fetched_bases)
    return Studio(
        engine=make_engine(settings.database),
        storage=storage,
        queue=make_queue(settings.redis_url, settings.bells),
        bases=ModelFolders(STARTER_FOLDER, settings.model_folders, only_under=not settings.local_owner, fetched=fetched),
        catalog=read_catalog(CATALOG_FOLDER),
        shelf=SampleShelf(SAMPLES_FOLDER),
        recipes=RecipeBook(RECIPES_FOLDER, SampleShelf(SAMPLES_FOLDER)),
        count_tokens=TokenCounter(STARTER_FOLDER).count,
        incoming=storage.incoming,
        run_folders=settings.runs,
        max_upload_bytes=settings.max_upload_bytes,
        local_owner=settings.local_owner,
        expects_workers=settings.workers,
        secrets=SecretBox(settings.secret_key.get_secret_value() if settings.secret_key else None, settings.home.resolve()),
        private_webhooks=settings.webhook_private,
        looker=PreflightServer(settings.inference_url, _inference_key(settings)),
        hub=HubModels.from_environment(),
        fetched=fetched,
        private_fetches=settings.fetch_private,
    )


def _inference_key(settings: Settings) -> str | None:
    return settings.inference_key.get_secret_value() if settings.inference_key else None


def create_app(settings: Settings | None = None) -> FastAPI:
    """Assemble the application; the database must have been migrated."""
    settings = settings or Settings()
    studio = make_studio(settings)
    outside = Outside(private_allowed=settings.webhook_private)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        courier = asyncio.create_task(Courier(studio.engine, studio.secrets, outside).run())
        yield
        courier.cancel()
        await app.state.inference.close()
        studio.engine.dispose()

    app = FastAPI(
        title="Hone", version="1", description=ABOUT, docs_url=None, redoc_url=None, lifespan=lifespan,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )  # fmt: skip
    app.state.studio = studio
    app.state.inference = Inference(settings.inference_url, _inference_key(settings))
    app.state.readiness = Readiness(studio, app.state.inference.is_alive)
    # /datasets/samples and /datasets/hub stand before /datasets/{id}.
    modules = (
        goal, samples, desk, datasets, baselines, catalog, hub_models, downloads, cloud_costs, estimates, accuracy, prices, compare, runs,
        run_samples, queues, workers, connections, webhooks, health, metrics, openai,
    )  # fmt: skip
    for module in modules:
        app.include_router(module.router)
    site.add_pages(app, settings)
    _add_errors(app)
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """Put the layers around the application that every request passes, the innermost first."""
    app.add_middleware(BodyLimit, refuse=_refusing(TOO_LARGE))
    app.add_middleware(SameOrigin, refuse=_refusing(CROSS_SITE))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=settings.trusted_hosts, www_redirect=False)
    app.add_middleware(SecurityHeaders)
    metrics.measure(app)
    if settings.root_path:
        app.add_middleware(UnderRoot, root=settings.root_path)
    app.add_middleware(RequestLog)


def _add_errors(app: FastAPI) -> None:
    async def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, DataError):
            error = CANNOT_BE_KEPT
        if api_errors.is_for_programs(request.scope["path"]):
            response: Response = api_errors.answer(request, error)
        else:
            response = site.answer_error(request, error)
        # The outermost handler answers beyond the middleware that adds these.
        for name, value in (HEADERS | {request_log.HEADER: request.state.request_id}).items():
            response.headers.setdefault(name, value)
        return response

    for kind in (StudioError, RequestValidationError, HTTPException, DataError, *UNREACHABLE, Exception):
        app.add_exception_handler(kind, failed)


def _refusing(error: StudioError) -> Refuse:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        respond = api_errors.answer if api_errors.is_for_programs(scope["path"]) else site.answer_error
        await respond(Request(scope), error)(scope, receive, send)

    return refuse


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how the application is served; who forwards requests is believed only when the settings name it."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=3, server_header=False,
        proxy_headers=bool(settings.forwarders), forwarded_allow_ips=settings.forwarders,
    )  # fmt: skip


def spare_the_collector() -> None:
    """Keep what was loaded out of the collector's rounds, and have them seldom: else every ninth page waits 130 ms for one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BEFORE_A_SEARCH)


def main() -> None:
    """Serve on the socket that `hone up` bound (HONE_WEB_FD), until the parent is gone."""
    from app.gateways.lifeline import follow_parent
    from app.gateways.logs import configure_logging
    from app.web.server import Server

    settings = Settings()
    follow_parent()
    configure_logging("web", settings.log_format)
    app = create_app(settings)
    spare_the_collector()
    Server(server_config(app, settings), app.state.web.live.close).run(sockets=[socket.socket(fileno=int(os.environ["HONE_WEB_FD"]))])


if __name__ == "__main__":
    main()
