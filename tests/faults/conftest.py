"""What the fault programme stands on: a seed that is printed with every test, and a place for what was found."""

from __future__ import annotations

import os

import pytest

from tests.faults.harness.results import Recorder

# Read when this is imported: a test sees no setting of whoever runs it.
SEED = int(os.environ.get("HONE_FAULTS_SEED", "1"))


@pytest.fixture
def seed() -> int:
    """What chance begins from: the same each time, or HONE_FAULTS_SEED."""
    print(f"HONE_FAULTS_SEED={SEED}")
    return SEED


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Recorder:
    """Where a test says what it found of a promise."""
    return Recorder(request.node)
