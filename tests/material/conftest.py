"""Real files of other people are imported as the tests of reading import theirs."""

from __future__ import annotations

from tests.workers.curation.conftest import imported

__all__ = ["imported"]
