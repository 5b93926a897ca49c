"""One weight at every level in the words of its page."""

from __future__ import annotations

import pytest

from app.domain.rounding import Block
from app.web.rounding_view import off_by


@pytest.mark.parametrize(("weight", "level", "words"), [(0.0, "nf4", "exact"), (1e-308, "1bit", "lost"), (-1e-308, "int8", "-100 %")])
def test_how_far_off_a_level_is(weight: float, level: str, words: str) -> None:
    assert off_by(Block.around(weight, 1.0).rounded(level), weight) == words
