"""How processes log: one line an entry on stderr, with the time and the part of the studio that speaks, and never a secret."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote, urlsplit

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LogFormat = Literal["text", "json"]
HIDDEN = "[hidden]"
LEAST_CHARACTERS = 8
"""Shorter values of secrets would be found in ordinary words."""
SECRET_NAMES = re.compile(r"(?:_KEY|_TOKEN|_SECRET|PASSWORD)$", re.IGNORECASE)
SECRET_SHAPES = (
    # The password of an address: scheme://user:password@host.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@\"']*):[^\s/@\"']+@", re.IGNORECASE), rf"\1:{HIDDEN}@"),
    (re.compile(r"((?:authorization\W{1,4}(?:\w+\s+)?|\bbearer\s+))[^\s\"',]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(r"\b(password|passwd|secret|api_?key|access_token|x-amz-signature)([\"']?\s?[=:]\s?[\"']?)[^\s\"'&,;]+", re.IGNORECASE),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"\b(hone_|hf_|whsec_)[A-Za-z0-9_+/=-]{30,}"), rf"\1{HIDDEN}"),
)


def configure_logging(part: str, log_format: LogFormat = "text", *, level: int = logging.INFO) -> None:
    """Send structlog's and the libraries' entries from `level` on to stderr; `part` names the process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _naming(part),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _line(log_format),
        Redaction(os.environ),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("httpx", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # What ends a process or a thread is logged like everything else: a traceback of its own would hide no secret.
    sys.excepthook = lambda *error: logging.getLogger("hone").critical("the process ends", exc_info=error)
    threading.excepthook = _log_end_of_thread


def entry(part: str, event: str, log_format: LogFormat) -> bytes:
    """Return a line of the log for a process that talks to people and has no log of its own."""
    made = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", {"level": "info", "part": part, "event": event})
    line = _line(log_format)(None, "", made)
    return (line if isinstance(line, bytes) else line.encode()) + b"\n"


def _naming(part: str) -> structlog.typing.Processor:
    # Not bound as a context variable: a thread begins without any.
    def name(_logger: Any, _method: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
        entry["part"] = part
        return entry

    return name


def _line(log_format: LogFormat) -> structlog.processors.JSONRenderer | structlog.processors.LogfmtRenderer:
    if log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "part", "event"], drop_missing=True)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    error = (ended.exc_type, ended.exc_value or ended.exc_type(), ended.exc_traceback)
    logging.getLogger("hone").error("a thread ended", exc_info=error)


def without_secrets(text: str) -> str:
    """Return a text for people without this process's secrets."""
    return Redaction(os.environ)(None, "", text)


class Redaction:
    """Takes secrets out of finished lines: those this process was given, by their value, and what has the shape of one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        known = sorted(set(_secrets_of(environment)), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, _logger: Any, _method: str, line: Any) -> str:
        """Return the line without them."""
        text = self._known.sub(HIDDEN, line) if self._known else str(line)
        for shape, instead in SECRET_SHAPES:
            text = shape.sub(instead, text)
        return text


def _secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the environment's secrets, also as addresses and lines of the log write them; short ones only their shape can show."""
    for name, value in environment.items():
        secrets = value.split(",") if SECRET_NAMES.search(name) else [_password(value)]
        for secret in (one.strip() for one in secrets):
            if len(secret) >= LEAST_CHARACTERS:
                yield from (secret, quote(secret, safe=""), json.dumps(secret, ensure_ascii=False)[1:-1])


def _password(value: str) -> str:
    try:
        return unquote(urlsplit(value).password or "")
    except ValueError:
        return ""  # no address at all
