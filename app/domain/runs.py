"""The states of a run and its legal moves: the one list used by tables, REST, pages and workers."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from app.domain.errors import Conflict, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable


class RunStatus(StrEnum):
    """Where a run stands. Imports use the same list (they are never paused)."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"


S = RunStatus
MOVES: dict[RunStatus, frozenset[RunStatus]] = {
    S.QUEUED: frozenset({S.STARTING, S.PAUSED, S.CANCELLED, S.FAILED}),
    S.STARTING: frozenset({S.RUNNING, S.FAILED, S.QUEUED, S.PAUSING, S.STOPPING, S.CANCELLING}),
    S.RUNNING: frozenset({S.FINALIZING, S.FAILED, S.QUEUED, S.PAUSING, S.STOPPING, S.CANCELLING}),
    S.FINALIZING: frozenset({S.SUCCEEDED, S.FAILED, S.QUEUED, S.PAUSING, S.CANCELLING}),
    S.PAUSING: frozenset({S.PAUSED, S.STOPPING, S.CANCELLING, S.FAILED, S.FINALIZING}),
    S.STOPPING: frozenset({S.STOPPED, S.CANCELLING, S.FAILED, S.FINALIZING}),
    S.CANCELLING: frozenset({S.CANCELLED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED}),
    S.STOPPED: frozenset({S.QUEUED}),
    S.SUCCEEDED: frozenset(),
    S.CANCELLED: frozenset(),
    S.FAILED: frozenset(),
}

LEASED = frozenset({S.STARTING, S.RUNNING, S.FINALIZING, S.PAUSING, S.STOPPING, S.CANCELLING})
"""A worker holds the run in these."""
ENDED = frozenset({S.SUCCEEDED, S.STOPPED, S.CANCELLED, S.FAILED})
"""Nothing happens any more unless a person asks (a stopped run can be resumed)."""
GROUPS = {"active": LEASED, "waiting": frozenset({S.QUEUED, S.PAUSED}), "done": ENDED}
"""Every state under one of three words, for lists: held by a worker, held by nobody, ended."""
WANTED_END = {S.PAUSING: S.PAUSED, S.STOPPING: S.STOPPED, S.CANCELLING: S.CANCELLED}
"""What somebody asked for, and the state it ends in."""
MAX_CRASHES_WITHOUT_PROGRESS = 3


def adapter_folder(lease_token: int) -> str:
    """Return what an attempt calls the folder of its adapter: file systems know no fence (0: a trainer without a supervisor)."""
    return f"adapter-t{lease_token}" if lease_token else "adapter"


def token_in(name: str) -> int:
    """Return the lease token that the name of a file or folder carries (0: none)."""
    found = re.search(r"-t(\d+)", name)
    return int(found[1]) if found else 0


def states_of(words: Iterable[str]) -> frozenset[RunStatus]:
    """Return the states that some words name (a state, or active, waiting, done); Invalid for any other word."""
    found: set[RunStatus] = set()
    for word in words:
        if word not in GROUPS and word not in set(RunStatus):
            message = f"There is no state {word[:40]!r}; give active, waiting, done, or one of {', '.join(RunStatus)}."
            raise Invalid(message, param="status")
        found |= GROUPS.get(word) or {RunStatus(word)}
    return frozenset(found)


def check_move(before: RunStatus, after: RunStatus) -> None:
    """Raise Conflict unless a run may go from `before` to `after`."""
    if after not in MOVES[before]:
        message = f"A run that is {before} cannot become {after}."
        raise Conflict(message, code="illegal_state")


def after_request(action: str, now: RunStatus) -> RunStatus:
    """Return the state that `action` (stop, pause, resume, cancel) leads to from `now`; Conflict when it is not allowed."""
    after = REQUESTS[action].get(now)
    if after is None:
        message = f"A run that is {now} cannot be {PAST[action]}."
        raise Conflict(message, code="illegal_state")
    return after


REQUESTS: dict[str, dict[RunStatus, RunStatus]] = {
    "stop": {S.STARTING: S.STOPPING, S.RUNNING: S.STOPPING, S.PAUSING: S.STOPPING},
    "pause": {S.QUEUED: S.PAUSED, S.STARTING: S.PAUSING, S.RUNNING: S.PAUSING},
    "resume": {S.PAUSED: S.QUEUED, S.STOPPED: S.QUEUED},
    "cancel": {
        S.QUEUED: S.CANCELLED,
        S.PAUSED: S.CANCELLED,
        S.STARTING: S.CANCELLING,
        S.RUNNING: S.CANCELLING,
        S.FINALIZING: S.CANCELLING,
        S.PAUSING: S.CANCELLING,
        S.STOPPING: S.CANCELLING,
    },
}
PAST = {"stop": "stopped", "pause": "paused", "resume": "resumed", "cancel": "cancelled"}


def after_lost_lease(now: RunStatus, crashes: int) -> RunStatus:
    """Return where the sweep puts a run whose worker was lost, `crashes` counted since its last progress."""
    if now in WANTED_END:
        return WANTED_END[now]
    return S.FAILED if crashes >= MAX_CRASHES_WITHOUT_PROGRESS else S.QUEUED
