"""A form as it was typed, with the errors that belong beside its fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

    from app.domain.errors import StudioError


@dataclass(frozen=True)
class Form:
    """Raw values by field, and an error sentence by field; `general` is for what belongs to no field."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    general: str = ""

    def refused(self, error: StudioError, known: frozenset[str]) -> Form:
        """Return the form with a service's refusal beside the field it names."""
        name = (error.param or "").removeprefix("settings.")
        if name in known:
            return Form(self.values, {**self.errors, name: error.message.removeprefix(f"settings.{name}: ")})
        return Form(self.values, self.errors, error.message)


def messages_of(error: ValidationError) -> dict[str, str]:
    """Return pydantic's complaints as one sentence for each field."""
    found: dict[str, str] = {}
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        text = item["msg"].removeprefix("Value error, ")
        found.setdefault(name, text[:1].upper() + text[1:] + ("" if text.endswith(".") else "."))
    return found
