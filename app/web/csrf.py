"""No other site may make a browser change anything here: a same-origin check on unsafe methods, and no tokens.

Browsers say where a request comes from (Sec-Fetch-Site; older ones Origin). Whoever brings a Bearer key cannot be tricked, since no site
can make a browser send one, and then cookies are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    Refuse = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
KEYED = ("/api/", "/v1/")
"""Where a Bearer key is what counts."""


def is_allowed(method: str, path: str, headers: Headers) -> bool:
    """Return whether a request may change something: same origin by the browser's own word, or made with a key, or by no browser."""
    if method in SAFE_METHODS or (path.startswith(KEYED) and headers.get("authorization", "").lower().startswith("bearer ")):
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    # Every browser of the last ten years sends one of the two on an unsafe request; without either, no browser is asking.
    return origin is None or (origin != "null" and urlsplit(origin).netloc == headers.get("host", ""))


class SameOrigin:
    """Refuses unsafe requests that another site caused; `refuse` answers them."""

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and not is_allowed(scope["method"], scope["path"], Headers(scope=scope)):
            await self.refuse(scope, receive, send)
            return
        await self.app(scope, receive, send)
