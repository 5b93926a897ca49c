"""Text that people give and a database keeps: PostgreSQL takes no NUL character and nobody writes half a character, so neither is taken."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from app.domain.errors import Invalid

NUL = "\0"
HALF = re.compile(r"[\ud800-\udfff]")
"""JSON can spell one half of a character; no encoding can write it."""
NUL_WHY, HALF_WHY = "holds a NUL character, which cannot be kept", "holds half a character (a lone surrogate), which cannot be written"


def keepable(text: str) -> str:
    """Return the text, or raise ValueError for one that cannot be kept."""
    if why := _why_not(text):
        raise ValueError(why)
    return text


Text = Annotated[str, AfterValidator(keepable)]


def check_text(text: str, param: str) -> None:
    """Raise Invalid, naming `param`, for text that cannot be kept."""
    if why := _why_not(text):
        name = writable(param.replace(NUL, ""))[:60]
        message = f"{name}: {why}."
        raise Invalid(message, param=name)


def writable(text: str) -> str:
    """Return a text as it can be written, with a mark in place of each half of a character: answers repeat what they were sent."""
    return HALF.sub("\ufffd", text)


def _why_not(text: str) -> str:
    return NUL_WHY if NUL in text else HALF_WHY if HALF.search(text) else ""
