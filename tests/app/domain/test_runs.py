"""The states of a run, as the contract lists them."""

from __future__ import annotations

import pytest

from app.domain.errors import Conflict
from app.domain.runs import ENDED, LEASED, MOVES, WANTED_END, RunStatus, after_lost_lease, after_request, check_move

S = RunStatus


@pytest.mark.parametrize(
    ("action", "now", "after"),
    [
        ("cancel", S.QUEUED, S.CANCELLED), ("pause", S.QUEUED, S.PAUSED), ("cancel", S.PAUSED, S.CANCELLED),
        ("resume", S.PAUSED, S.QUEUED), ("resume", S.STOPPED, S.QUEUED), ("stop", S.RUNNING, S.STOPPING),
        ("pause", S.RUNNING, S.PAUSING), ("cancel", S.RUNNING, S.CANCELLING), ("cancel", S.FINALIZING, S.CANCELLING),
    ],
)  # fmt: skip
def test_what_people_may_ask(action: str, now: RunStatus, after: RunStatus) -> None:
    assert after_request(action, now) == after


@pytest.mark.parametrize(
    ("action", "now"),
    [("stop", S.QUEUED), ("resume", S.RUNNING), ("resume", S.SUCCEEDED), ("pause", S.PAUSED), *(("cancel", end) for end in sorted(ENDED))],
)
def test_what_they_may_not(action: str, now: RunStatus) -> None:
    with pytest.raises(Conflict):
        after_request(action, now)


def test_every_state_is_held_waiting_or_ended() -> None:
    assert set(S) == LEASED | ENDED | {S.QUEUED, S.PAUSED}
    assert set(MOVES) == set(S)


@pytest.mark.parametrize("now", sorted(LEASED))
def test_wherever_a_lost_run_was_its_next_state_is_legal(now: RunStatus) -> None:
    for crashes in (1, 3):
        check_move(now, after_lost_lease(now, crashes))


def test_a_wish_outlives_the_worker_and_a_third_crash_fails() -> None:
    assert {after_lost_lease(now, 3) for now in WANTED_END} == {S.PAUSED, S.STOPPED, S.CANCELLED}
    assert after_lost_lease(S.RUNNING, 2) == S.QUEUED
    assert after_lost_lease(S.FINALIZING, 3) == S.FAILED
