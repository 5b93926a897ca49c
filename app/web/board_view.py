"""The board as pages show it: filters out of addresses and into them, and runs with time, hours and curve."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pydantic import ValidationError

from app.db import metrics
from app.domain.errors import Invalid
from app.domain.queueing import Move, Priority, QueueChange, To
from app.services.board import DAYS, Board, BoardFilter, Group
from app.services.run_filter import RunFilter
from app.services.waiting import waits
from app.web import plot, runs_view, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.db import Run
    from app.services.overview import RunLine
    from app.services.queues import QueueState
    from app.services.waiting import Wait
    from app.web.visit import Visit

WINDOWS = {1: "last 24 hours", 7: "last 7 days", 30: "last 30 days", 0: "all time"}
GROUPS = {Group.RUNNING: "Running", Group.WAITING: "Waiting", Group.DONE: "Done"}
MAX_TEXT, SPARK_POINTS = 200, 30
PARTS = {"q": "words", "owner": "owner", "base_model": "base", "tag": "tag", "on": "worker or device", "days": "time"}


def read_filter(asked: Mapping[str, str]) -> BoardFilter:
    """Return what an address asks for; what means nothing filters nothing, and what nobody has leaves nothing."""

    def text(name: str) -> str:
        return "".join(letter for letter in asked.get(name, "") if letter.isprintable())[:MAX_TEXT].strip()

    tag, days = text("tag"), text("days")
    runs = RunFilter(q=text("q"), owner=text("owner"), base_model=text("base_model"), tag=(tag,) if tag else ())
    group = text("group")
    return BoardFilter(
        runs=runs,
        group=Group(group) if group in set(Group) else None,
        on=text("on"),
        days=int(days) if days.isascii() and days.isdecimal() and int(days) in WINDOWS else DAYS,
    )


def address(wanted: BoardFilter, path: str = "/board", **more: str) -> str:
    """Return the one address of a filtered board, or of what is done on it."""
    runs = wanted.runs
    parts = {
        "group": wanted.group or "", "q": runs.q, "owner": runs.owner, "base_model": runs.base_model, "tag": "".join(runs.tag),
        "on": wanted.on, "days": "" if wanted.days == DAYS else str(wanted.days), **more,
    }  # fmt: skip
    query = urlencode({name: value for name, value in parts.items() if value})
    return f"{path}?{query}" if query else path


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a waiting run."""

    run_id: str
    what: Move | Priority


def read_wish(fields: Mapping[str, str]) -> Wish:
    """Return what the form around the queue asks for: a button carries the run's id, dragging names the run and its neighbour."""
    try:
        if "moved" in fields:
            return Wish(fields["moved"], Move.model_validate({name: fields[name] for name in ("before", "after") if name in fields}))
        name = next(name for name in fields if name in {*To, *Priority})
    except (ValidationError, StopIteration):
        message = "Say which run to move, and where to."
        raise Invalid(message) from None
    return Wish(fields[name], Priority(name) if name in set(Priority) else Move(to=To(name)))


def read_change(fields: Mapping[str, str]) -> QueueChange:
    """Return what the form of a queue asks for: to hold or release it, or how much may run at once."""
    try:
        return (
            QueueChange(held=bool(fields["held"])) if "held" in fields else QueueChange.model_validate({"slots": fields["slots"] or None})
        )
    except (KeyError, ValidationError):
        message = "Give a whole number of slots, or none for no limit."
        raise Invalid(message, param="slots") from None


@dataclass(frozen=True)
class Tab:
    """One group with its count, as a link."""

    label: str
    number: int
    href: str
    is_current: bool


@dataclass(frozen=True)
class Chip:
    """One filter that hides something, and the address without it."""

    label: str
    href: str


@dataclass(frozen=True)
class Shown:
    """What the filters of a page are set to."""

    wanted: BoardFilter

    @property
    def chips(self) -> list[Chip]:
        """The filters that hide something beside the group, each to be taken away alone."""
        wanted, runs = self.wanted, self.wanted.runs
        values = {"q": runs.q, "owner": runs.owner, "base_model": runs.base_model, "tag": "".join(runs.tag), "on": wanted.on}
        chips = [Chip(f"{PARTS[name]}: {value}", address(_without(wanted, name))) for name, value in values.items() if value]
        if wanted.days != DAYS:
            chips.append(Chip(f"ended in: {WINDOWS[wanted.days]}", address(_without(wanted, "days"))))
        return chips

    def tabs(self, numbers: Mapping[Group, int]) -> list[Tab]:
        """Return the groups with their counts."""
        every = Tab("All", sum(numbers.values()), address(replace(self.wanted, group=None)), self.wanted.group is None)
        groups = [
            Tab(label, numbers[group], address(replace(self.wanted, group=group)), self.wanted.group == group)
            for group, label in GROUPS.items()
        ]
        return [every, *groups]


def _without(wanted: BoardFilter, name: str) -> BoardFilter:
    if name == "days":
        return replace(wanted, days=DAYS)
    return replace(wanted, on="") if name == "on" else replace(wanted, runs=wanted.runs.without(name))


@dataclass(frozen=True)
class BoardLine(runs_view.Line):
    """A run on the board."""

    left: float | None
    held: float | None
    curve: Sequence[metrics.Point]
    heard: float
    """How long ago its row was written last: a worker that holds a run writes at least with every heartbeat."""

    @property
    def share(self) -> float:
        """How much of its steps are done."""
        return min(1.0, self.run.step / self.run.total_steps) if self.run.total_steps else 0.0

    @property
    def hours(self) -> str:
        """For how long workers held it."""
        return words.span(self.held)

    @property
    def hours_help(self) -> str:
        """What that figure is."""
        if self.held is None:
            return "Not known: no worker has held it yet" if self.run.started_at is None else "Not known: it ran before hours were kept"
        attempts = words.plural(self.run.attempt, "attempt")
        return f"For {self.held:,.0f} s workers held it, in {attempts}: from taking it to giving it back"

    @property
    def spark(self) -> str:
        """Its held-out loss as a path."""
        return plot.spark(self.curve)

    @property
    def spark_help(self) -> str:
        """The same in words."""
        first, last = self.curve[0], self.curve[-1]
        return f"Held-out loss from {first.value:.3f} at step {first.step} to {last.value:.3f} at step {last.step}"


def lines(visit: Visit, board: Board, runs: Sequence[Run], queue: QueueState | None = None) -> list[BoardLine]:
    """Return runs as the board shows them."""
    found = visit.overview.lines(runs)
    waiting = waits(visit.session, runs, queue)
    left = visit.overview.seconds_left_of(runs)
    curves = metrics.read_many(visit.session, [run.id for run in runs], runs_view.HELD_OUT, SPARK_POINTS)
    return [_line(one, waiting.get(one.run.id), board, left=left.get(one.run.id), curve=curves.get(one.run.id, [])) for one in found]


def _line(one: RunLine, wait: Wait | None, board: Board, *, left: float | None, curve: Sequence[metrics.Point]) -> BoardLine:
    run = one.run
    heard = max(0.0, board.moment - run.updated_at)
    return BoardLine(one, runs_view.why(run, wait), wait, left=left, held=board.seconds_held(run), curve=curve, heard=heard)
