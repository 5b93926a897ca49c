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
