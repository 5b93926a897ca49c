"""What tests of trackers share."""

from __future__ import annotations

import pytest

from tests.waiting import PATIENCE_SECONDS
from workers.training.trackers import feed


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads get their turn late and libraries are imported slowly where many tests run; the run's own patience is another test's."""
    monkeypatch.setattr(feed, "END_SECONDS", PATIENCE_SECONDS)
