"""The near side of a preflight: one child for all, asked in turn, and words for when a template has broken it."""

from __future__ import annotations

import asyncio
from typing import Any

from app.domain.errors import Invalid
from app.domain.preflight import Preflight, template_fault
from workers.inference.protocol import PreflightRequest, read_body
from workers.inference.rendering import TOO_MUCH, TemplateChild


class Preflights:
    """Looks at rows for whoever asks, one after the other."""

    def __init__(self) -> None:
        self._child = TemplateChild(looks=True)
        self._turn = asyncio.Lock()

    async def look(self, raw: bytes) -> dict[str, Any]:
        """Return the preflight of a request's body as JSON has it, or raise Invalid when the base cannot be had."""
        wanted = await asyncio.to_thread(read_body, PreflightRequest, raw)
        async with self._turn:
            # Line ends between values mean nothing in JSON, and inside of them there are none.
            answer = await asyncio.to_thread(self._child.ask, b'{"preflight":' + raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"}")
        if answer is None:
            fault = template_fault(f"The base cannot be looked at: {TOO_MUCH}.")
            return Preflight.of_no_row(fault, total=wanted.total, max_length=wanted.max_length).model_dump(mode="json")
        if "error" in answer:
            raise Invalid(answer["error"]["message"], param=answer["error"]["param"], code=answer["error"]["code"])
        found: dict[str, Any] = answer["preflight"]
        return found

    def close(self) -> None:
        """End the child."""
        self._child.close()
