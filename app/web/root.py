"""Hone under a sub-path: where the prefix is taken off what comes in, and put in front of what leads on.

Inside Hone an address knows no root: handlers read and answer `/runs`. This middleware, the templates (`{{ root }}`) and the scripts
(`data-root`) are the only places that know it, so no handler can forget it. Proxies that strip the prefix and proxies that pass it on
are both served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEADING = ("location", "content-location", "hx-redirect", "hx-location", "hx-push-url", "hx-replace-url")
"""Headers that tell a browser where to go."""


class UnderRoot:
    """Takes the root off a request's path, and puts it in front of the addresses that answers lead to."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self.app, self.root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as if there were no root."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # In place, since what answers failures stands outside of this and reads the same scope. The server's own root_path is ours already.
        scope.update(path=self.without(scope["path"]), root_path="", app_root_path=self.root)
        host = Headers(scope=scope).get("host", "")

        async def led(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in LEADING:
                    if name in headers:
                        headers[name] = self.before(headers[name], host)
            await send(message)

        await self.app(scope, receive, led)

    def without(self, path: str) -> str:
        """Return a path as Hone itself knows it."""
        return without_root(path, self.root)

    def before(self, address: str, host: str) -> str:
        """Return an address of this studio with the root in front; one that leads elsewhere stays as it is."""
        parts = urlsplit(address)
        is_own = parts.netloc in {"", host} and parts.path.startswith("/")
        return urlunsplit(parts._replace(path=self.root + parts.path)) if is_own else address


def without_root(path: str, root: str) -> str:
    """Return a path without the root it may begin with."""
    return path[len(root) :] or "/" if root and (path == root or path.startswith(f"{root}/")) else path
