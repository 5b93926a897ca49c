"""What has gone wrong with a tracker, in words that hold no key."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from app.domain.errors import StudioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECRET_NAMES = re.compile(r"(KEY|TOKEN|PASSWORD|SECRET)$")
SIGNED_IN = re.compile(r"//[^/@\s]*@")
KNOWN = (
    (re.compile(r"refused", re.IGNORECASE), "the connection was refused"),
    (re.compile(r"timed? ?out|deadline", re.IGNORECASE), "it does not answer"),
    (re.compile(r"\b40[13]\b|unauthori[sz]ed|forbidden|permission|not authenticated", re.IGNORECASE), "it does not accept the key"),
    (re.compile(r"resolve|name or service|nodename|getaddrinfo", re.IGNORECASE), "its name leads to no address"),
    (re.compile(r"\b5\d\d\b|internal server error", re.IGNORECASE), "it has an error of its own"),
)
MOST_CHARACTERS = 160


class Unusable(StudioError):
    """A tracker that cannot be used as it is set up: trying again would change nothing."""


def in_words(error: BaseException) -> str:
    """Return why a call failed: in plain words where it is known, else the first line of what the library says."""
    told = [f"{type(one).__name__}: {one}" for one in _chain(error)]
    for pattern, words in KNOWN:
        if any(pattern.search(text) for text in told):
            return words
    return without_secrets((str(error).strip() or type(error).__name__).splitlines()[0])[:MOST_CHARACTERS].rstrip(".")


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a text without keys of the environment, and without the name and password of an address."""
    for name, value in environment.items():
        if value and SECRET_NAMES.search(name):
            text = text.replace(value, "…")
    return SIGNED_IN.sub("//…@", text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # type: ignore[redundant-expr]
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
