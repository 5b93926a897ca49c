"""Bodies are bounded before anybody looks at them: what is no upload holds a form or a document, and those are small."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Refuse = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 8 * 1024 * 1024
UPLOADS = re.compile(r"(/api/v1)?/datasets(/[^/]{1,64}/files)?")
"""These ask who sends before they read, write to disk as they read, and have a bound of their own."""
DRAIN_SECONDS = 5.0


class BodyLimit:
    """Refuses requests with more than MAX_BODY_BYTES, whatever their header says; `refuse` answers them."""

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or (scope["method"] == "POST" and UPLOADS.fullmatch(scope["path"])):
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
            await self._refuse(scope, receive, send, has_more=True)
            return
        counted = _Counted(receive, send)
        try:
            await self.app(scope, counted.receive, counted.send)
        except ClientDisconnect:
            if not counted.is_over:
                raise
        if counted.is_over and not counted.has_answered:
            await self._refuse(scope, receive, send, has_more=counted.has_more)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, *, has_more: bool) -> None:
        # A line closed in the sender's face hides the reason, so the rest is taken for a while and dropped.
        with anyio.move_on_after(DRAIN_SECONDS):
            while has_more:
                has_more = (await receive()).get("more_body", False)
        await self.refuse(scope, receive, send)


class _Counted:
    """One request's two ends: past the bound the application sees its caller leave, and what it says to that is dropped."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.size, self.has_more, self.is_over, self.has_answered = 0, True, False, False

    async def receive(self) -> Message:
        """Give the next piece of the body."""
        if self.is_over:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self.has_more = message.get("more_body", False)
        self.size += len(message.get("body", b""))
        if self.size > MAX_BODY_BYTES:
            self.is_over = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on, unless the body went too far before it began."""
        if self.has_answered or not self.is_over:
            self.has_answered = True
            await self._send(message)
