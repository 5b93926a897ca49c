"""A real inference server on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]
KEY = "a-key-for-tests"


@dataclass
class Running:
    """A server under test."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def http(self) -> httpx.Client:
        """A plain client that brings the key."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=PATIENCE_SECONDS)

    @cached_property
    def client(self) -> openai.OpenAI:
        """The official client, open as long as the server."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE_SECONDS)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Send one request."""
        with self.http as http:
            return http.post(path, json=body)

    def status(self) -> dict[str, Any]:
        """What the server says of itself."""
        with self.http as http:
            answer: dict[str, Any] = http.get("/status").json()
        return answer


@contextmanager
def running(*arguments: str) -> Generator[Running]:
    """Start a server, and kill it in the end if it is still there."""
    environment = {**os.environ, "HONE_INFERENCE_KEY": KEY, "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-m", "workers.inference", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith("inference ready on http://127.0.0.1:"), line
        started = Running(process, line.removeprefix("inference ready on ").strip())
        with started.client:
            yield started
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="session")
def server() -> Generator[Running]:
    """A server for many tests."""
    with running() as started:
        yield started
