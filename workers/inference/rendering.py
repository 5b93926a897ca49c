"""The near side of the template child: start it, ask it, and throw it away when a template breaks its limits."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from app.domain.errors import Invalid
from workers.training.templates import ChatTemplate

PATIENCE_SECONDS = 30.0
"""A niced child on a busy machine may wait long for its few seconds of processor time."""
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
"""All of the environment that a template's process gets: no key, no token."""
ROOT = Path(__file__).resolve().parents[2]


def template_error(why: str) -> Invalid:
    """Return the error for a template that cannot render this conversation."""
    return Invalid(f"The model cannot be asked this: {why.rstrip('.')}.", param="messages", code="template_error")


class Renderer:
    """Renders chat templates in a child process, which is started at the first request and after each failure."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def render(self, template: ChatTemplate, turns: list[dict[str, str]], *, prompt: bool) -> str:
        """Return the conversation as text; with `prompt`, up to where the next answer begins."""
        request = {
            "template": template.text,
            "special_tokens": template.special_tokens,
            "source": template.source,
            "turns": turns,
            "prompt": prompt,
        }
        answer = self._ask(json.dumps(request).encode() + b"\n")
        if answer is None:
            self.close()
            raise template_error("its chat template took too long or too much memory")
        if "text" not in answer:
            raise template_error(answer["error"])
        return answer["text"]

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _ask(self, request: bytes) -> dict[str, str] | None:
        child = self._child or self._start()
        assert child.stdin is not None  # noqa: S101 - opened below with pipes
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(request)
            child.stdin.flush()
        except BrokenPipeError:
            return None
        line = _read_line(child.stdout.fileno())
        return json.loads(line) if line.endswith(b"\n") else None

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "workers.inference.template_child"]
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | {"HF_HUB_OFFLINE": "1"}
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
        return self._child


def _read_line(descriptor: int) -> bytes:
    """Read up to the line's end; what came so far when the child ended or patience did."""
    line = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        got = os.read(descriptor, 65536) if ready else b""
        if not got:
            break
        line += got
    return line
