"""The inference server as the web process sees it: whole answers, streams, and sentences when it cannot be reached."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import ValidationError

from app.domain.errors import Invalid, StudioError, Unavailable
from app.domain.preflight import Preflight

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

CHAT = "/v1/chat/completions"
LOOK_SECONDS = 2.0
"""For questions that are answered at once when the server lives."""
ANSWER_SECONDS = 600.0
"""The longest silence: a large base may be loading from a slow disk."""
EVENT_END, EVENT_NAME, LAST_EVENT = b"\n\n", b"data: ", b"[DONE]"
NOT_THERE = "The inference server does not answer, so nothing can be asked just now. It starts again by itself; try again in a moment."
NO_SERVER = "This studio runs no inference server, so nothing can be asked; start it with workers, or set HONE_INFERENCE_URL."
PREFLIGHT_SECONDS = 20.0
"""A first preflight reads a tokenizer, and others may be before it."""


class Inference:
    """A client of the inference server; without an address it says that there is none."""

    def __init__(self, base_url: str | None, key: str | None) -> None:
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Proxies of the environment are for the world outside; this server is beside us.
        self._client = httpx.AsyncClient(
            base_url=base_url or "", headers=self._headers, trust_env=False, timeout=httpx.Timeout(LOOK_SECONDS, read=ANSWER_SECONDS)
        )
        self._answers: Counter[str] = Counter()

    def is_answering(self, model: str) -> bool:
        """Return whether a model is giving an answer to somebody just now."""
        return self._answers[model] > 0

    def is_alive(self) -> bool:
        """Return whether the server answers at all."""
        if not self._base_url:
            return False
        try:
            return httpx.get(f"{self._base_url}/livez", timeout=LOOK_SECONDS, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def status(self) -> dict[str, Any]:
        """Return {loaded, adapters, yielded_to: {device, run} or None, device}."""
        self._check_address()
        try:
            return _body_of(await self._client.get("/status", timeout=LOOK_SECONDS))
        except httpx.HTTPError:
            raise Unavailable(NOT_THERE) from None

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the whole answer to a request in OpenAI's shape, with `hone: {base_dir, adapter_dir}` in it.

        It is gathered from a stream, so that a slow model may take its time: only silence between two tokens is too long.
        """
        gathered = _Gathered()
        async with aclosing(self.stream({**body, "stream_options": {"include_usage": True}})) as pieces:
            async for event in _events(pieces):
                gathered.add(event)
        return gathered.whole()

    async def stream(self, body: dict[str, Any]) -> AsyncGenerator[bytes]:
        """Yield the answer as server-sent events, as they come; a refusal is raised before the first."""
        self._check_address()
        model = str(body.get("model"))
        self._answers[model] += 1
        try:
            async with self._client.stream("POST", CHAT, json={**body, "stream": True}) as response:
                if not response.is_success:
                    await response.aread()
                    _body_of(response)
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx.HTTPError:
            raise Unavailable(NOT_THERE) from None
        finally:
            self._answers -= Counter([model])  # and forgets models that are at no answer

    def _check_address(self) -> None:
        if not self._base_url:
            raise Unavailable(NO_SERVER)


class PreflightServer:
    """A client of the inference server for those who wait in a thread: it looks at rows."""

    def __init__(self, base_url: str | None, key: str | None) -> None:
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def look(self, body: bytes) -> Preflight:
        """Return what a run would learn from the rows that the JSON names; Unavailable when the server cannot be had."""
        if not self._base_url:
            raise Unavailable(NO_SERVER)
        timeout = httpx.Timeout(LOOK_SECONDS, read=PREFLIGHT_SECONDS, write=PREFLIGHT_SECONDS)
        try:
            answer = httpx.post(f"{self._base_url}/preflight", content=body, headers=self._headers, timeout=timeout, trust_env=False)
        except httpx.HTTPError:
            raise Unavailable(NOT_THERE) from None
        try:
            return Preflight.model_validate(_body_of(answer))
        except ValidationError:
            raise Unavailable(NOT_THERE) from None  # another version of Hone, or none


class _Gathered:
    """A whole answer that grows from the chunks of a stream."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._texts: dict[int, list[str]] = {}
        self._reasons: dict[int, str] = {}
        self._usage: dict[str, int] | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        """Take a chunk; what the server fails with on the way is raised."""
        if error := chunk.get("error"):
            # The server's own failures have no code; those that pass always have one.
            kind = Invalid if error["type"] == Invalid.kind else Unavailable if error["code"] else StudioError
            raise kind(error["message"], param=error["param"], code=error["code"])
        self._head = {name: chunk[name] for name in ("id", "created", "model")}
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            self._texts.setdefault(choice["index"], []).append(choice["delta"].get("content", ""))
            if choice["finish_reason"]:
                self._reasons[choice["index"]] = choice["finish_reason"]

    def whole(self) -> dict[str, Any]:
        """Return OpenAI's body; a stream that broke off before it was counted is no answer."""
        if self._usage is None:
            raise Unavailable(NOT_THERE)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": "".join(texts), "refusal": None},
                "logprobs": None,
                "finish_reason": self._reasons[index],
            }
            for index, texts in sorted(self._texts.items())
        ]
        return {**self._head, "object": "chat.completion", "choices": choices, "usage": self._usage}


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON of server-sent events, wherever the borders of the pieces fall."""
    held = b""
    async for piece in pieces:
        *events, held = (held + piece).split(EVENT_END)
        for event in events:
            text = event.removeprefix(EVENT_NAME)
            if text == LAST_EVENT:
                return
            try:
                body = json.loads(text)
            except json.JSONDecodeError:
                raise Unavailable(NOT_THERE) from None
            yield body


def _body_of(response: httpx.Response) -> dict[str, Any]:
    """Return the answer's JSON, or raise what the server refused with as an error of our own."""
    try:
        body: dict[str, Any] = response.json()
    except json.JSONDecodeError:
        raise Unavailable(NOT_THERE) from None
    if response.is_success:
        return body
    error = body.get("error") or {}
    message, param, code = error.get("message") or NOT_THERE, error.get("param"), error.get("code")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise Unavailable("The inference server does not know this studio's key; HONE_INFERENCE_KEY must be the same on both sides.")
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise Unavailable(message, param=param, code=code)
    if response.is_client_error:
        raise Invalid(message, param=param, code=code)
    raise StudioError(message, param=param, code=code)


async def told_if_lost(
    first: bytes, events: AsyncIterator[bytes], describe: Callable[[StudioError], dict[str, Any]]
) -> AsyncIterator[bytes]:
    """Pass a begun answer on; when the server is lost on the way, the last event says so in the words of `describe`."""
    yield first
    try:
        async for event in events:
            yield event
    except StudioError as error:
        yield EVENT_NAME + json.dumps(describe(error)).encode() + EVENT_END
