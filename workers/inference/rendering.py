"""The near side of the template child: start it, ask it, and throw it away when a template breaks its limits."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from app.domain.errors import Invalid, Unavailable
from workers.training.templates import ChatTemplate

PATIENCE_SECONDS = 30.0
"""A niced child on a busy machine may wait long for its few seconds of processor time."""
STARTING_SECONDS = 120.0
"""So long it may take to be there at all: its imports are no template's fault, and take the longer the busier the machine is."""
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
"""All of the environment that a template's process gets: no key, no token."""
SET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1"}
ROOT = Path(__file__).resolve().parents[2]
TOO_MUCH = "its chat template took too long or too much memory"


def template_error(why: str) -> Invalid:
    """Return the error for a template that cannot render this conversation."""
    return Invalid(f"The model cannot be asked this: {why.rstrip('.')}.", param="messages", code="template_error")


class TemplateChild:
    """The process in which templates are rendered; it is started at the first request and after each failure.

    With `looks` it has what a preflight needs before it is asked for one.
    """

    def __init__(self, *, looks: bool = False) -> None:
        self._command = [sys.executable, "-m", "workers.inference.template_child", *(["--looks"] if looks else [])]
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, request: bytes) -> dict[str, Any] | None:
        """Return the answer to a request, one JSON object on one line; None when the child broke its limits, and then it is gone.

        Unavailable when there is no child to be had.
        """
        child = self._child or self._start()
        assert child.stdin is not None  # noqa: S101 - opened below with pipes
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(request + b"\n")
            child.stdin.flush()
            line = _read_line(child.stdout.fileno(), PATIENCE_SECONDS)
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            self.close()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | SET
        self._child = child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
        assert child.stdout is not None  # noqa: S101 - opened with a pipe
        if _read_line(child.stdout.fileno(), STARTING_SECONDS) != b"\n":
            self.close()
            raise Unavailable("The process that renders chat templates did not start. Try again in a moment; the log says what it wrote.")
        return child


class Renderer:
    """Renders chat templates in a child process."""

    def __init__(self) -> None:
        self._child = TemplateChild()

    def render(self, template: ChatTemplate, turns: list[dict[str, str]], *, prompt: bool) -> str:
        """Return the conversation as text; with `prompt`, up to where the next answer begins."""
        request = {
            "template": template.text,
            "special_tokens": template.special_tokens,
            "source": template.source,
            "turns": turns,
            "prompt": prompt,
        }
        answer = self._child.ask(json.dumps(request).encode())
        if answer is None:
            raise template_error(TOO_MUCH)
        if "text" not in answer:
            raise template_error(answer["error"])
        text: str = answer["text"]
        return text

    def close(self) -> None:
        """End the child, if there is one."""
        self._child.close()


def _read_line(descriptor: int, patience: float) -> bytes:
    """Read up to the line's end; what came so far when the child ended or patience did."""
    pieces: list[bytes] = []
    deadline = time.monotonic() + patience
    while not pieces or not pieces[-1].endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        got = os.read(descriptor, 1 << 20) if ready else b""
        if not got:
            break
        pieces.append(got)
    return b"".join(pieces)
