"""Text that people give and a database keeps: PostgreSQL takes no NUL character, so nobody does."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from app.domain.errors import Invalid

NUL = "\0"
WHY = "holds a NUL character, which cannot be kept"


def without_nul(text: str) -> str:
    """Return the text, or raise ValueError for one that cannot be kept."""
    if NUL in text:
        raise ValueError(WHY)
    return text


Text = Annotated[str, AfterValidator(without_nul)]


def check_text(text: str, param: str) -> None:
    """Raise Invalid, naming `param`, for text that cannot be kept."""
    if NUL in text:
        name = param.replace(NUL, "")[:60]
        message = f"{name}: {WHY}."
        raise Invalid(message, param=name)
