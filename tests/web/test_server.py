from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import uvicorn
from fastapi import FastAPI

from app.web.server import Server


def test_a_server_told_to_leave_does_not_wait_for_open_pages(app: FastAPI) -> None:
    async def follow() -> list[str]:
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(uvicorn.Config(app, log_config=None), app.state.web.live.close)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live?topics=runs"
        async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url) as stream:
            lines = stream.aiter_lines()
            first = await anext(lines)
            server.handle_exit(signal.SIGTERM, None)
            rest = [line async for line in lines]
        await serving
        return [first, *rest]

    lines = asyncio.run(asyncio.wait_for(follow(), 60))
    assert lines[0] == ": open"
    assert not any("changed" in line for line in lines)


def test_many_open_pages_do_not_hold_up_the_end(app: FastAPI) -> None:
    pages = 200

    async def follow() -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=pages)
        server = Server(uvicorn.Config(app, log_config=None), app.state.web.live.close)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        opened = [await open_page(listener.getsockname()[1]) for _ in range(pages)]
        server.handle_exit(signal.SIGTERM, None)
        ended = await asyncio.gather(*(reader.read() for reader, _ in opened))
        for _, writer in opened:
            writer.close()
        await serving
        return len(ended)

    assert asyncio.run(asyncio.wait_for(follow(), 60)) == pages


async def open_page(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream, and wait until it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /live?topics=runs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await reader.readuntil(b": open")
    return reader, writer
