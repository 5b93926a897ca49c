"""Device hours: for how long workers held a run, attempt by attempt.

A hold begins with the claim and ends when the worker gives the run back: done, stopped, paused, failed or put back into the queue. When a
worker is lost, its hold ends with its lease: at most one lease after its last sign of life. Waiting costs nothing, and starting does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

FACT, HOLDER = "holds", "held_by"
"""Under these names a run's facts keep its holds, oldest first, and who held it last (which a database can be asked for)."""


class Hold(BaseModel):
    """One worker's time with a run, in seconds since 1970; `end` None while it lasts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    begin: float
    end: float | None = None
    host: str = ""
    device: str = ""


Holds = Sequence[Hold]
_holds: TypeAdapter[list[Hold]] = TypeAdapter(list[Hold])


def holds_of(facts: Mapping[str, Any]) -> list[Hold]:
    """Return the holds that a run's facts keep; none of a run from before they were kept."""
    try:
        return _holds.validate_python(facts.get(FACT) or [])
    except ValidationError:
        return []


def with_begun(facts: Mapping[str, Any], hold: Hold) -> dict[str, Any]:
    """Return a run's facts with a hold that begins."""
    holder = {"host": hold.host, "device": hold.device}
    return {**facts, FACT: [one.model_dump() for one in [*holds_of(facts), hold]], HOLDER: holder}


def with_ended(facts: Mapping[str, Any], moment: float) -> dict[str, Any]:
    """Return a run's facts with the hold that lasts ended; as they are when none lasts."""
    holds = holds_of(facts)
    if not holds or holds[-1].end is not None:
        return dict(facts)
    ended = holds[-1].model_copy(update={"end": max(holds[-1].begin, moment)})
    return {**facts, FACT: [one.model_dump() for one in [*holds[:-1], ended]]}


def carried_over(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stays of a run's facts when a new attempt tells its own."""
    return {name: facts[name] for name in (FACT, HOLDER) if name in facts}


def seconds_held(holds: Holds, *, until: float, since: float = float("-inf")) -> float:
    """Return for how long workers held a run between two moments; a hold that lasts counts up to the later one."""
    return sum(max(0.0, _end(holds, at, until) - max(hold.begin, since)) for at, hold in enumerate(holds))


def _end(holds: Holds, at: int, until: float) -> float:
    """Return when a hold ended. Only the last one can last: of an earlier one without an end nobody knows, so it counts as none."""
    end = holds[at].end
    if end is None:
        return until if at == len(holds) - 1 else holds[at].begin
    return min(end, until)
