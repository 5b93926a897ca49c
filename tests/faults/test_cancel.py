"""A cancel stops the real trainer within thirty seconds and a pause within sixty, whatever it is at; nothing is left of it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.services.accounts import Identity
from tests.faults.harness.results import Recorder
from tests.faults.real_training import Training, freeze, prepare
from tests.waiting import until

WITHIN_SECONDS = {"cancel": 30.0, "pause": 60.0}
GENEROUS = 3
"""The small size shares its machine with other tests, and gets that many times as long."""
ENDS = {"cancel": "cancelled", "pause": "paused"}
SMALL = [("cancel", "starting"), ("cancel", "training"), ("cancel", "frozen"), ("pause", "starting"), ("pause", "training")]


def wait_for(training: Training, run_id: str, moment: str, chance: random.Random) -> None:
    """Come to a random moment: while Python and torch are loaded, or between, in or after steps, checks and saves."""
    seconds, step = chance.uniform(0, 3), chance.randint(1, 60)
    until(lambda: training.trainers_of(run_id))
    if moment == "starting":
        time.sleep(seconds)
        return
    until(lambda: training.run(run_id).step >= step)
    time.sleep(seconds / 10)
    if moment == "frozen":
        freeze(training.trainers_of(run_id))


def end(training: Training, action: str, moment: str, *, seed: str) -> float:
    """Launch a run, ask for its end at a random moment, and return how long its trainer then lived."""
    run_id = training.launch(eval_every_steps=9, checkpoint_every_steps=7)
    wait_for(training, run_id, moment, random.Random(seed))  # noqa: S311 - chance that can be repeated
    training.ask(run_id, action)
    began = time.monotonic()
    until(lambda: not training.trainers_of(run_id))
    took = time.monotonic() - began
    until(lambda: training.run(run_id).status == ENDS[action])
    run = training.run(run_id)
    assert (run.crashes_since_progress, run.lease_owner) == (0, None)
    return took


def slowest(training: Training, wanted: Sequence[tuple[str, str]], seed: int, *, at_once: int, patience: int) -> dict[str, float]:
    """Return how long it took at most, of each kind of end."""
    with training.worker(slots=at_once), ThreadPoolExecutor(at_once) as pool:
        took = list(pool.map(lambda number: end(training, *wanted[number], seed=f"{seed} {number}"), range(len(wanted))))
    assert training.processes() == {}
    longest: dict[str, float] = {}
    for (action, _), seconds in zip(wanted, took, strict=True):
        name = f"slowest_{action}_seconds"
        longest[name] = max(longest.get(name, 0.0), round(seconds, 1))
        assert seconds < WITHIN_SECONDS[action] * patience
    return longest


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_cancel_stops_the_trainer_soon(engine: Engine, owner: Identity, tmp_path: Path, seed: int, times: int, record: Recorder) -> None:
    wanted = SMALL * times
    longest = slowest(prepare(engine, owner, tmp_path), wanted, seed, at_once=5, patience=GENEROUS if times == 1 else 1)
    record("R6", n=len(wanted), result=longest, seed=seed, database="sqlite")
