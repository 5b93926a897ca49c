"""What the fault programme stands on: real databases, and a seed that is printed with every test."""

from __future__ import annotations

import os

import pytest

# Read when this is imported: a test sees no setting of whoever runs it.
SEED = int(os.environ.get("HONE_FAULTS_SEED", "1"))


@pytest.fixture
def seed() -> int:
    """What chance begins from: the same each time, or HONE_FAULTS_SEED."""
    print(f"HONE_FAULTS_SEED={SEED}")
    return SEED
