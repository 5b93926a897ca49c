"""The HTTP side: who may ask, what they asked, and the answer whole or as a stream."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app.domain.errors import Invalid, StudioError, Unauthenticated
from workers.inference.jobs import Done, Ended, Failed, Job, Piece, Report
from workers.inference.preflight import Preflights
from workers.inference.protocol import (
    LAST_EVENT,
    Answer,
    Reply,
    ResumeRequest,
    ServedRequest,
    YieldRequest,
    error_body,
    error_status,
    read_body,
    server_sent_event,
)

if TYPE_CHECKING:
    from workers.inference.engine import Engine

MAX_BODY_BYTES = 32 * 1024 * 1024
Handler = Callable[[Request], Awaitable[Response]]


def create_app(engine: Engine, key: str) -> Starlette:
    """Assemble the server around an engine; every route but /livez wants the key."""
    server = Server(engine)

    def guarded(handler: Handler) -> Handler:
        async def guard(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not secrets.compare_digest(given, f"Bearer {key}".encode()):
                raise Unauthenticated("The key of the inference server is missing or wrong.")
            return await handler(request)

        return guard

    routes = [
        Route("/livez", livez),
        Route("/status", guarded(server.status)),
        Route("/v1/chat/completions", guarded(server.chat), methods=["POST"]),
        Route("/preflight", guarded(server.preflight), methods=["POST"]),
        Route("/yield", guarded(server.leave), methods=["POST"]),
        Route("/resume", guarded(server.come_back), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={StudioError: tell_error})


async def livez(_: Request) -> Response:
    """Say that the process is there, whatever it is loading."""
    return JSONResponse({"status": "ok"})


async def tell_error(_: Request, error: Exception) -> Response:
    """Answer with OpenAI's error object."""
    problem = error if isinstance(error, StudioError) else StudioError(str(error))
    headers = {"Retry-After": "5"} if problem.status == 503 else None  # noqa: PLR2004 - HTTP's own number
    return JSONResponse(error_body(problem), status_code=error_status(problem), headers=headers)


class Server:
    """The handlers, around one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._preflights = Preflights()

    async def status(self, _: Request) -> Response:
        """Say what is loaded and which device is left to a run; whoever wants to know is likely to ask something soon."""
        self._engine.warm_up()
        return JSONResponse(self._engine.status())

    async def leave(self, request: Request) -> Response:
        """Leave a device to a run; answers when its memory is free."""
        wanted = read_body(YieldRequest, await body_of(request))
        await asyncio.wrap_future(self._engine.yield_device(wanted.device, wanted.holder, wanted.run))
        return JSONResponse(self._engine.status())

    async def come_back(self, request: Request) -> Response:
        """Use a device again."""
        wanted = read_body(ResumeRequest, await body_of(request) or b"{}")
        self._engine.resume(wanted.device, wanted.holder)
        return JSONResponse(self._engine.status())

    async def preflight(self, request: Request) -> Response:
        """Say what a run would learn from some rows."""
        return JSONResponse(await self._preflights.look(await body_of(request)))

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        asked = read_body(ServedRequest, await body_of(request))
        reports: asyncio.Queue[Report] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(report: Report) -> None:
            loop.call_soon_threadsafe(reports.put_nowait, report)

        job = self._engine.submit(asked, tell)
        watch = asyncio.create_task(cancel_when_gone(request, job, reports))
        try:
            first = await reports.get()
            if isinstance(first, Failed):
                raise first.error
            if asked.stream:
                return StreamingResponse(stream(asked, reports, job), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
            return JSONResponse(await whole(asked, reports))
        except asyncio.CancelledError:
            job.cancel()
            raise
        finally:
            watch.cancel()


async def body_of(request: Request) -> bytes:
    """Read a body that is not absurdly large."""
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY_BYTES:
            raise Invalid(f"The request is larger than {MAX_BODY_BYTES} bytes.", code="too_large")
    return raw


async def cancel_when_gone(request: Request, job: Job, reports: asyncio.Queue[Report]) -> None:
    """Stop a generation that nobody waits for any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.cancel()
    reports.put_nowait(Failed(StudioError("Whoever asked has gone.")))


async def whole(asked: ServedRequest, reports: asyncio.Queue[Report]) -> dict[str, object]:
    """Gather the reports of a request into one body."""
    answers = [Answer() for _ in range(asked.n or 1)]
    while True:
        match await reports.get():
            case Piece(choice, text):
                answers[choice].text.append(text)
            case Ended(choice, reason):
                answers[choice].finish_reason = reason
            case Done(usage):
                return Reply(asked.model).completion(answers, usage)
            case Failed(error):
                raise error


async def stream(asked: ServedRequest, reports: asyncio.Queue[Report], job: Job) -> AsyncIterator[bytes]:
    """Pass the reports of a request on as OpenAI's chunks."""
    reply, counts = Reply(asked.model), asked.wants_usage
    try:
        for choice in range(asked.n or 1):
            yield reply.chunk(choice, {"role": "assistant", "content": ""}, with_usage=counts)
        while True:
            match await reports.get():
                case Piece(choice, text):
                    yield reply.chunk(choice, {"content": text}, with_usage=counts)
                case Ended(choice, reason):
                    yield reply.chunk(choice, {}, reason, with_usage=counts)
                case Done(usage):
                    if counts:
                        yield reply.usage_chunk(usage)
                    yield LAST_EVENT
                    return
                case Failed(error):
                    yield server_sent_event(error_body(error))
                    return
    finally:
        job.cancel()  # the listener may have gone
