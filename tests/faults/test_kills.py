"""Workers and trainers that are killed or frozen at random: no run is lost, none ends twice, and what slept too long writes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.config import Settings
from app.db import Dataset
from app.db.session import reading
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset
from tests.faults.harness.chaos import KILLS, SLEEPS, Chaos
from tests.faults.harness.fleet import Fleet, Pace
from tests.faults.harness.history import kept_history, refused_writes, violations

PACE = Pace()
MACHINES = ("one", "one", "two", "three")
"""Where the four workers are. On their own machine workers see at once who is dead; on another only by the lease."""


def storage_of(home: Path) -> LocalStorage:
    return LocalStorage(Settings(home=home).store)


def a_dataset(engine: Engine, owner: Identity, home: Path) -> str:
    dataset_id = add_dataset(engine, owner)
    with reading(engine) as session:
        version = session.get_one(Dataset, dataset_id).version
        assert version is not None
        blob = storage_of(home)._place(version.artifact.sha256)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"rows")
    return dataset_id


@pytest.fixture
def history(engine: Engine) -> Iterator[None]:
    with kept_history(engine):
        yield


def chaos(engine: Engine, owner: Identity, home: Path, seed: int, without: tuple[str, ...] = ()) -> Chaos:
    url = engine.url.render_as_string(hide_password=False)
    fleet = Fleet(url, home, PACE, without)
    return Chaos(fleet, engine, owner, a_dataset(engine, owner, home), random.Random(seed))  # noqa: S311 - chance that can be repeated


@pytest.mark.parametrize("kills", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_no_run_is_lost_or_finished_twice(
    engine: Engine, owner: Identity, tmp_path: Path, history: None, seed: int, kills: int, request: pytest.FixtureRequest
) -> None:
    nemesis = chaos(engine, owner, tmp_path, seed)
    with nemesis.fleet as fleet:
        for machine in MACHINES:
            fleet.start(machine)
        nemesis.rage(KILLS | SLEEPS, kills, pause=(0.1, 0.6))
    print(dict(nemesis.done), nemesis.recovery(), refused_writes(engine))
    assert violations(engine, storage_of(tmp_path), PACE.steps) == []
    assert fleet.orphans() == []
