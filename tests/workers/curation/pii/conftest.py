"""What the tests of finding personal data share: what is found, as text and kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workers.curation.pii import Finder

Finds = Callable[[str], list[tuple[str, str]]]


@pytest.fixture(scope="session")
def finder() -> Finder:
    return Finder()


@pytest.fixture
def finds(finder: Finder) -> Finds:
    def run(text: str) -> list[tuple[str, str]]:
        return [(text[span.start : span.end], span.kind) for span in finder.find(text)]

    return run
