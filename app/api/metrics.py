"""`/metrics` for Prometheus: how long requests take, and the studio's numbers. No key, so no names of people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_fastapi_instrumentator import Instrumentator

from app.api.numbers import StudioNumbers

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_fastapi_instrumentator.metrics import Info

router = APIRouter(tags=["health"])
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def measure(app: FastAPI) -> None:
    """Have every request timed, and the studio's numbers read whenever somebody asks for them."""
    registry = CollectorRegistry()
    registry.register(StudioNumbers(app.state.studio))
    app.state.measured = registry
    seconds = Histogram(
        "http_request_duration_seconds", "Time until an answer began, by the route's template.", ["method", "handler", "status"],
        buckets=BUCKETS, registry=registry,
    )  # fmt: skip

    def observe(info: Info) -> None:
        # A method is any word a caller likes, and each would be a series of its own.
        method = info.method if info.method in METHODS else "other"
        seconds.labels(method, info.modified_handler, info.modified_status).observe(info.modified_duration_without_streaming)

    Instrumentator(registry=registry).add(observe).instrument(app)


@router.get("/metrics", operation_id="metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> PlainTextResponse:
    """Give Prometheus its numbers (text format 0.0.4)."""
    return PlainTextResponse(generate_latest(request.app.state.measured), media_type=CONTENT_TYPE_PLAIN_0_0_4)
