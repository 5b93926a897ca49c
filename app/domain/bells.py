"""How a worker hears that something waits: it looks by itself, or Redis rings it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

FACT = "bell"
"""Under this name a worker's sign of life carries it."""


class Bell(BaseModel):
    """What a worker knew of its bell at its last sign of life."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    by: Literal["looking", "redis"] = "looking"
    is_heard: bool = False
    is_there: bool = False

    def as_facts(self) -> dict[str, Any]:
        """Return it as a sign of life carries it."""
        return {FACT: self.model_dump(mode="json")}

    @property
    def is_silent(self) -> bool:
        """Whether Redis ought to ring this worker and does not."""
        return self.by == "redis" and not self.is_heard

    @property
    def in_words(self) -> str:
        """How the worker hears of work."""
        if self.by == "looking":
            return "looks by itself"
        if self.is_heard:
            return "rung by Redis"
        return "Redis is there, but rings are not heard; looks by itself" if self.is_there else "Redis does not answer; looks by itself"


def bell_of(facts: Mapping[str, Any]) -> Bell:
    """Return the bell of a sign of life; one that tells none belongs to a worker that looks by itself."""
    try:
        return Bell.model_validate(facts.get(FACT, {}))
    except ValidationError:
        return Bell()
