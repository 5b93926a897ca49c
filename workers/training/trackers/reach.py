"""Whether a server can be reached, asked before a library is let at it: left alone they try for minutes, or say nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

ANSWER_SECONDS = 10.0
OWN_FAULT = 500


def reach(address: str) -> None:
    """Raise what httpx raises unless a server answers at an address; what it answers matters only where it is an error of its own."""
    parts = urlsplit(address)
    # Its query may hold a key, and is for the library alone.
    answer = httpx.head(f"{parts.scheme}://{parts.netloc}/", timeout=ANSWER_SECONDS)
    if answer.status_code >= OWN_FAULT:
        answer.raise_for_status()
