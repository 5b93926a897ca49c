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


NOT_A_NUMBER, NOT_WHOLE = "Give a number", "Give a whole number"
SENTENCES = {
    "greater_than_equal": "Give {ge:g} or more", "greater_than": "Give more than {gt:g}",
    "less_than_equal": "Give {le:g} or less", "less_than": "Give less than {lt:g}",
    "int_parsing": NOT_WHOLE, "int_type": NOT_WHOLE, "int_from_float": NOT_WHOLE, "int_parsing_size": "Give a smaller number",
    "float_parsing": NOT_A_NUMBER, "float_type": NOT_A_NUMBER, "finite_number": NOT_A_NUMBER,
    "literal_error": "Choose {expected}", "enum": "Choose {expected}",
    "string_too_long": "Keep it to {max_length} characters", "string_too_short": "Fill this in", "missing": "Fill this in",
    "extra_forbidden": "There is no such setting", "too_long": "Give {max_length} at most",
}  # fmt: skip
"""What pydantic found, by its type, as a person would be told."""


def messages_of(error: ValidationError) -> dict[str, str]:
    """Return pydantic's complaints as one plain sentence for each field."""
    found: dict[str, str] = {}
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        known = SENTENCES.get(item["type"])
        sentence = known.format(**item.get("ctx", {})).replace("'", "") if known else item["msg"].removeprefix("Value error, ")
        sentence = sentence[:1].upper() + sentence[1:].removesuffix(".")
        if name not in found:
            found[name] = sentence
        elif item["type"] == "literal_error":
            # A number that may also be a word, such as auto: both are told.
            found[name] += sentence.replace("Choose", ", or", 1)
    return {name: sentence + "." for name, sentence in found.items()}
