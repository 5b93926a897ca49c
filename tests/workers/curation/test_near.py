"""Near twins are found, all of them and nothing else, whatever their length; and a crowd of them costs no more than its size."""

from __future__ import annotations

import os
import random
import re
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from workers.curation import near
from workers.curation.near import NearTwins, near_groups
from workers.curation.shingles import shingle_words

Set = frozenset[tuple[str, ...]]
LENGTHS = (1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 15, 19, 20, 24, 29, 30, 38, 40, 48, 50, 55, 62, 80, 150)
VOCABULARY = [f"word{number}" for number in range(4_000)]


def repeatable(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - nothing secret


@cache
def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


@cache
def shingles_of(text: str, size: int) -> Set:
    words = words_of(text)
    return frozenset(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def overlap(one: str, other: str) -> float:
    """Return how alike two texts are by the definition, slowly."""
    shorter, longer = sorted(len(words_of(text)) for text in (one, other))
    size = int(shingle_words(np.array(shorter)))
    left, right = shingles_of(one, size), shingles_of(other, size)
    return min((shorter - size + 1) / (longer - size + 1), len(left & right) / len(left | right))


def edited(text: str, changes: int, chance: random.Random) -> str:
    """Return a text with some words replaced, left out or put in."""
    words = text.split()
    for _ in range(changes):
        place, kind = chance.randrange(len(words) + 1), chance.choice(("replace", "remove", "add"))
        words[place : place + (kind != "add")] = [] if kind == "remove" else [chance.choice(VOCABULARY)]
    return " ".join(words) or "nothing"


def families(chance: random.Random, size: int = 4) -> list[str]:
    """Return texts of every length, each with some that were made of it by more and more changes."""
    texts = []
    for length in LENGTHS:
        for _ in range(3):
            text = " ".join(chance.choices(VOCABULARY, k=length))
            texts += [edited(text, changes, chance) for changes in range(size)]
    chance.shuffle(texts)
    return texts


def check(texts: list[str], found: list[int], threshold: float) -> None:
    """Check that each group is of texts like its first."""
    for place, group in enumerate(found):
        assert group == -1 or overlap(texts[group], texts[place]) >= threshold
        assert group == -1 or found[group] == group <= place


def pairs_of(texts: list[str], threshold: float) -> list[tuple[int, int]]:
    return [(one, other) for other in range(len(texts)) for one in range(other) if overlap(texts[one], texts[other]) >= threshold]


def left_alone(pairs: list[tuple[int, int]], found: list[int]) -> list[tuple[int, int]]:
    """Return the pairs of which both would be kept."""
    firsts = {place for place, group in enumerate(found) if group in {-1, place}}
    return [pair for pair in pairs if firsts.issuperset(pair)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.8, 0.9])
def test_groups_are_what_a_slow_comparison_finds(seed: int, threshold: float) -> None:
    texts = families(repeatable(seed))
    found, pairs = near_groups(texts, threshold=threshold).tolist(), pairs_of(texts, threshold)
    check(texts, found, threshold)
    assert left_alone(pairs, found) == []
    assert len(pairs) > 20


def test_a_crowd_of_short_texts_that_share_words_is_told_apart() -> None:
    chance = repeatable(5)
    texts = [" ".join(chance.choices(VOCABULARY[:60], k=chance.randint(4, 12))) for _ in range(400)]
    texts += [edited(text, 1, chance) for text in texts[:200]]
    found, pairs = near_groups(texts).tolist(), pairs_of(texts, near.THRESHOLD)
    check(texts, found, near.THRESHOLD)
    assert left_alone(pairs, found) == []
    assert len(pairs) > 50


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], []),
        (["", "", "?!", "?!"], [-1, -1, -1, -1]),
        (["hello", "Hello!", "help"], [0, 0, -1]),
        (["cancel my order please now", "buy a cow", "Please cancel my order, now!"], [0, -1, 0]),
        (["Wo ist die Straße", "WO IST DIE STRASSE?", "where is the street"], [0, 0, -1]),
        (["明日の天気を教えてください", "明日の天気も教えてください", "今日は何曜日ですか"], [0, 0, -1]),
    ],
)
def test_texts_are_told_apart_as_people_would(texts: list[str], expected: list[int]) -> None:
    assert near_groups(texts).tolist() == expected


def test_single_words_are_never_taken_for_each_other() -> None:
    assert not (near_groups([f"w{number}" for number in range(200_000)]) >= 0).any()


def test_batches_of_any_size_give_the_same_groups() -> None:
    texts = families(repeatable(9))
    whole = pa.array(texts, pa.string())
    with NearTwins() as twins:
        for start in range(0, len(texts), 7):
            twins.add(whole.slice(start, 7))
        assert twins.groups(lambda _: None).tolist() == near_groups(texts).tolist()


def test_a_chain_of_twins_is_several_groups() -> None:
    words = [f"w{number}" for number in range(120)]
    chain = [" ".join(words[start : start + 20]) for start in range(100)]
    found = near_groups(chain).tolist()
    check(chain, found, near.THRESHOLD)
    assert found.count(-1) < 20
    repeatable(1).shuffle(chain)
    assert left_alone(pairs_of(chain, near.THRESHOLD), near_groups(chain).tolist()) == []


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every length that is read from the file of shingles."""
    lengths: list[int] = []

    def reading(descriptor: int, length: int, offset: int, really: Callable[[int, int, int], bytes] = os.pread) -> bytes:
        lengths.append(length)
        return really(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", reading)
    return lengths


def test_copies_are_compared_once_each(read: list[int]) -> None:
    found = near_groups(["the same forty words again " * 8] * 3_000)
    assert found.tolist() == [0] * 3_000
    assert len(read) <= 3_100


def test_rows_of_one_template_are_not_all_compared_with_all(read: list[int]) -> None:
    chance = repeatable(2)
    template = " ".join(chance.choices(VOCABULARY, k=60))
    texts = [f"{template} {' '.join(chance.choices(VOCABULARY, k=20))}" for _ in range(2_000)]
    texts[1_999] = edited(texts[3], 1, chance)
    found = near_groups(texts)
    assert found[1_999] == found[3] == 3
    assert (found >= 0).sum() == 2
    assert sum(read) <= near.READS * near.SHINGLE_BYTES * 76 * 2_000


def test_little_stays_in_memory_of_each_text() -> None:
    chance, count = repeatable(1), 20_000
    near_groups(["one two", "one two"] * 20)  # what is imported and made once in a process stays for all texts
    with NearTwins() as twins:
        tracemalloc.start()
        for _ in range(count // 1_000):
            twins.add(pa.array([" ".join(chance.choices(VOCABULARY, k=70)) for _ in range(1_000)]))
        twins.groups(lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak / count < 900


def test_what_is_done_is_told_and_no_file_stays(tmp_path: Path) -> None:
    shares: list[float] = []
    with NearTwins(folder=tmp_path) as twins:
        twins.add(pa.array(families(repeatable(1))))
        twins.groups(shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert list(tmp_path.iterdir()) == []
