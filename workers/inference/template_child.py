"""Renders chat templates in a process of its own, one JSON line in, one out.

A template comes with the base model, so from strangers, and the sandbox stops escapes but no endless loop. This process holds nothing
worth stealing, may use little memory and few seconds, and is thrown away when it breaks a limit. (It also has what rendering needs and
the server's threads lack: a main thread that may take signals.)
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from app.domain.datasets import Message
from workers.training.templates import ChatTemplate, TemplateRefused

HARD_CPU_SECONDS = 4
"""For loops that even the renderer's own timer cannot interrupt."""
MEMORY_BYTES = 512 * 2**20
MAX_TEXT_BYTES = 2**20


def main() -> None:
    """Answer requests until standard input ends."""
    _limit_memory()
    for line in sys.stdin.buffer:
        _grant_seconds()
        sys.stdout.buffer.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()


def _answer(request: dict[str, Any]) -> dict[str, str]:
    template = ChatTemplate(request["template"], request["special_tokens"], request["source"])
    messages = [Message.model_validate(turn) for turn in request["turns"]]
    try:
        text = template.render(messages, prompt=request["prompt"])
    except TemplateRefused as refused:
        return {"error": str(refused)[:500]}
    if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        return {"error": f"the chat template makes more than {MAX_TEXT_BYTES} bytes of it"}
    return {"text": text}


def _limit_memory() -> None:
    pages = Path("/proc/self/statm")
    used = int(pages.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))


def _grant_seconds() -> None:
    """Set the limit of processor time, which counts from the start of the process, anew for each request."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(usage.ru_utime + usage.ru_stime) + 1 + HARD_CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
