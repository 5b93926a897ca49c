"""The order of waiting runs: priorities, and moving one so that it stands exactly where somebody put it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.errors import Conflict
from app.domain.text import Text


class Priority(StrEnum):
    """How urgent a run is; of equal ones the one that came first goes first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def number(self) -> int:
        """The number a queue is ordered by."""
        return {Priority.HIGH: 1, Priority.NORMAL: 0, Priority.LOW: -1}[self]


def priority_of(number: int) -> Priority:
    """Return the word for a number."""
    return Priority.HIGH if number > 0 else Priority.LOW if number < 0 else Priority.NORMAL


class Standing(NamedTuple):
    """Where a run stands in its queue."""

    id: str
    priority: int
    place: int


class To(StrEnum):
    """Where to move a run, without naming another."""

    FIRST = "first"
    SOONER = "sooner"
    LATER = "later"
    LAST = "last"


class Move(BaseModel):
    """Where a waiting run is to stand: before or after another one, or by a word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: Text | None = Field(None, max_length=64, description="The waiting run it is to stand before; null: the end.")
    after: Text | None = Field(None, max_length=64, description="The waiting run it is to stand right behind.")
    to: To | None = Field(None, description="sooner and later are by one place.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if len(self.model_fields_set) != 1 or (self.model_fields_set != {"before"} and not (self.after or self.to)):
            message = "give one of before, after, to"
            raise ValueError(message)
        return self

    def index(self, others: Sequence[str], now: int) -> int:
        """Return where among the `others` it is to be put in, now that it stands at `now`; Conflict when the one it names is gone."""
        if self.to:
            wanted = {To.FIRST: 0, To.SOONER: now - 1, To.LATER: now + 1, To.LAST: len(others)}[self.to]
            return min(max(wanted, 0), len(others))
        named = self.before or self.after
        if named is None:
            return len(others)
        if named not in others:
            message = "The run it was to stand beside waits no more. Look at the queue as it is now."
            raise Conflict(message, code="not_in_queue")
        return others.index(named) + (0 if self.before else 1)


def moved(queue: Sequence[Standing], run_id: str, move: Move) -> list[Standing]:
    """Return the queue after a move, in its new order.

    The moved run keeps its priority where its neighbours allow that, and else takes theirs. Those of its priority then share their places
    anew, in the new order: so nobody of another priority is touched, and whoever comes later still comes after all of them.
    """
    now = next((at for at, one in enumerate(queue) if one.id == run_id), None)
    if now is None:
        message = "Only a run that waits in the queue can be moved."
        raise Conflict(message, code="not_in_queue")
    order = [one for one in queue if one.id != run_id]
    at = move.index([one.id for one in order], now)
    priority = queue[now].priority
    if at < len(order):
        priority = max(priority, order[at].priority)
    if at:
        priority = min(priority, order[at - 1].priority)
    order.insert(at, queue[now]._replace(priority=priority))
    return _with_places(order, priority)


def _with_places(order: Sequence[Standing], priority: int) -> list[Standing]:
    """Give those of one priority their places in their order; no two the same, or their ids would decide."""
    places = sorted(one.place for one in order if one.priority == priority)
    for before, place in enumerate(places[1:]):
        places[before + 1] = max(place, places[before] + 1)
    free = iter(places)
    return [one._replace(place=next(free)) if one.priority == priority else one for one in order]


class QueueChange(BaseModel):
    """What is to be decided about a queue; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: int | None = Field(
        None, ge=1, le=10_000,
        description="How many may run at once over all workers, but for downloads and measurements, which mostly wait; null: all that can.",
    )  # fmt: skip
    held: bool | None = Field(None, description="Whether nothing is taken from it; what runs goes on.")
