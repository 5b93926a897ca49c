"""Every request has an id, which is on its answer and on each line that was logged for it, and leaves one line of its own."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders

from app.domain.ids import new_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")
"""A proxy's own id is taken over; whatever else may not get into a log."""
PROBES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
"""Asked for all the time, by machines; what is not ready is logged where that is found."""
STATIC = "/static/"
LONGEST_PATH = 300
log = structlog.get_logger()


class RequestLog:
    """Names requests and logs them. Paths only: a query may hold what somebody looked for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its id."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if SANE.fullmatch(given) else new_id()
        # For what answers failures, which stands outside of this: request.state.request_id.
        scope.setdefault("state", {})["request_id"] = request_id
        # Never unbound: each request has a task of its own, and what fails is logged after this.
        structlog.contextvars.bind_contextvars(request=request_id)
        began, status = time.perf_counter(), 500

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, named)
        finally:
            _log(scope, status, time.perf_counter() - began)


def _log(scope: Scope, status: int, seconds: float) -> None:
    path = scope["path"]
    is_dull = path in PROBES or (path.startswith(STATIC) and status < 400)  # noqa: PLR2004 - where HTTP's failures begin
    if not is_dull:
        log.info("answered", method=scope["method"], path=path[:LONGEST_PATH], status=status, seconds=round(seconds, 3))
