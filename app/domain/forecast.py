"""When waiting runs will start: the queue played forward over the workers there are."""

from __future__ import annotations

import heapq
from collections import deque
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from app.domain.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LEAST_SPREAD = 0.2
"""No two runs take exactly as long, so past ones that happen to agree promise no more than this."""


def roughly(seconds: float) -> str:
    """Return a time that nobody knows exactly as people say it: 12 min, 3 h 20 min."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return "less than a minute"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours >= 24:  # noqa: PLR2004 - a day
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def span_of(samples: Sequence[float]) -> Span:
    """Return what some measured times say of the next one."""
    middle = median(samples)
    return Span(middle, min(*samples, middle * (1 - LEAST_SPREAD)), max(*samples, middle * (1 + LEAST_SPREAD)))


class Waiting(NamedTuple):
    """A run that waits; `takes` None where nobody knows how long it will take."""

    id: str
    takes: Span | None
    needs_gpu: bool = False


class Lane(NamedTuple):
    """What can run one run at a time; `free_in` None where nobody knows when it will be free."""

    free_in: Span | None
    has_gpu: bool = False


def starts(queue: Sequence[Waiting], lanes: Sequence[Lane], slots: int | None = None) -> dict[str, Span]:
    """Return in how many seconds each run will start, for those of which it can be told.

    `slots`: how many may run at once; None for as many as there are lanes. Times that are longer than expected move every start behind
    them, so what is told of the end of a long queue is vaguer than of its beginning.
    """
    told = [dict(_played(queue, lanes, slots, which)) for which in range(3)]
    found: dict[str, Span] = {}
    for run in queue:
        if all(run.id in one for one in told):
            # With lanes of two kinds a longer run can let another one start sooner, so the three are put in order.
            likely, low, high = (one[run.id] for one in told)
            found[run.id] = Span(likely, min(likely, low, high), max(likely, low, high))
    return found


def _played(queue: Sequence[Waiting], lanes: Sequence[Lane], slots: int | None, which: int) -> Iterator[tuple[str, float]]:
    """Give runs with their start, as workers take them: whoever is free takes the first one it can."""
    line = _Line(queue)
    room = len(lanes) if slots is None else slots
    # What nobody knows the end of keeps its lane for good.
    busy = [(lane.free_in[which], lane.has_gpu) for lane in lanes if lane.free_in]
    known = [one for one in busy if one[0] > 0]
    free = [has_gpu for seconds, has_gpu in busy if seconds <= 0]
    at_work = len(lanes) - len(free)
    heapq.heapify(known)
    now = 0.0
    while line:
        # Those without a GPU first: they leave the others to who needs them.
        for has_gpu in sorted(free):
            run = line.next_for(has_gpu=has_gpu) if at_work < room else None
            if run is None:
                continue
            free.remove(has_gpu)
            at_work += 1
            yield run.id, now
            if run.takes:
                heapq.heappush(known, (now + run.takes[which], has_gpu))
        if not known:
            return
        now, has_gpu = heapq.heappop(known)
        free.append(has_gpu)
        at_work -= 1


class _Line:
    """The queue, from which each lane takes the first it can run."""

    def __init__(self, queue: Iterable[Waiting]) -> None:
        self.places = {True: deque[tuple[int, Waiting]](), False: deque[tuple[int, Waiting]]()}
        for place, run in enumerate(queue):
            self.places[run.needs_gpu].append((place, run))

    def __bool__(self) -> bool:
        return any(self.places.values())

    def next_for(self, *, has_gpu: bool) -> Waiting | None:
        """Take out the first run that a lane can run."""
        heads = [line for needs_gpu, line in self.places.items() if line and (has_gpu or not needs_gpu)]
        return min(heads, key=lambda line: line[0][0]).popleft()[1] if heads else None
