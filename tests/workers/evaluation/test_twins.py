"""Every text that nearly repeats one is found, whichever others it resembles."""

from __future__ import annotations

import pytest

from tests.workers.curation.test_near import VOCABULARY, families, overlap, repeatable
from workers.curation.near import THRESHOLD
from workers.evaluation.twins import near_twins


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_what_a_slow_comparison_finds(seed: int) -> None:
    texts = families(repeatable(seed))
    asked, others = texts[::3], [text for place, text in enumerate(texts) if place % 3]
    slowly = [frozenset(place for place, other in enumerate(others) if overlap(one, other) >= THRESHOLD) for one in asked]
    assert near_twins(asked, others) == slowly
    assert sum(map(len, slowly)) > 20


def test_each_link_of_a_chain_is_found_whatever_the_order() -> None:
    words = [f"w{number}" for number in range(60)]
    first, middle, last = (" ".join(words[start : start + 50]) for start in (0, 4, 8))
    assert near_twins([first, middle], [last]) == [frozenset(), {0}]
    assert near_twins([middle, first], [last]) == [{0}, frozenset()]
    assert near_twins([middle], [first, last]) == [{0, 1}]


@pytest.mark.parametrize(("asked", "texts"), [([], ["tea"]), (["tea"], []), (["", "?!"], ["", "?!"]), (["tea tea tea"], ["tea"])])
def test_nothing_is_like_nothing(asked: list[str], texts: list[str]) -> None:
    assert near_twins(asked, texts) == [frozenset()] * len(asked)


def test_rows_of_one_template_are_told_from_twins() -> None:
    chance = repeatable(2)
    template = " ".join(chance.choices(VOCABULARY, k=60))
    texts = [f"{template} {' '.join(chance.choices(VOCABULARY, k=20))}" for _ in range(2_000)]
    assert near_twins([f"{texts[7]} indeed", *texts[:3]], texts) == [{7}, {0}, {1}, {2}]
