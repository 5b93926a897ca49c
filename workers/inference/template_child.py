"""Renders chat templates in a process of its own, one JSON line in, one out: a prompt, or all that a preflight looks at.

A template comes with the base model, so from strangers, and the sandbox stops escapes but no endless loop. This process holds nothing
worth stealing, may use little memory and few seconds, and is thrown away when it breaks a limit. (It also has what rendering needs and
the server's threads lack: a main thread that may take signals.)
"""

from __future__ import annotations

import json
import sys
from typing import Any

from app.domain.datasets import Message
from workers.inference.limits import grant_seconds, limit_memory

MAX_TEXT_BYTES = 2**20


def main() -> None:
    """Say by an empty line that it is there, and answer requests until standard input ends."""
    # Templates and tokenizers do without torch, which takes seconds and a quarter of a gigabyte; transformers looks for it when imported.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # None is how Python is told not to import something
    import workers.training.templates  # noqa: F401 - what is needed for rendering is no part of what a template takes

    if "--looks" in sys.argv:
        import workers.inference.looking  # noqa: F401 - and what is needed for looking is none either

    limit_memory()
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        grant_seconds()
        request = json.loads(line)
        answer = _look(request["preflight"]) if "preflight" in request else _answer(request)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _look(request: dict[str, Any]) -> dict[str, Any]:
    # Imported here: a child that only renders prompts needs no tokenizer.
    from workers.inference.looking import look_at

    return look_at(request)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from workers.training.templates import ChatTemplate, TemplateRefused

    template = ChatTemplate(request["template"], request["special_tokens"], request["source"], is_dated_today=True)
    messages = [Message.model_validate(turn) for turn in request["turns"]]
    try:
        text = template.render(messages, prompt=request["prompt"])
    except TemplateRefused as refused:
        return {"error": str(refused)[:500]}
    if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        return {"error": f"the chat template makes more than {MAX_TEXT_BYTES} bytes of it"}
    return {"text": text}


if __name__ == "__main__":
    main()
