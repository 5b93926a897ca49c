"""What shares a value lies in one bucket, and buckets are gone through first by first."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.curation.buckets import BANDS, bands, buckets

VALUES = st.lists(st.integers(0, 6).map(lambda value: value * 0x2545F491 % (1 << 32)), min_size=1, max_size=40)


def pairs(values: list[int]) -> list[tuple[int, int]]:
    left, right = buckets(np.array(values, np.uint32)).pairs()
    return sorted(zip(left.tolist(), right.tolist(), strict=True))


@given(VALUES)
def test_each_is_paired_with_the_first_of_its_value(values: list[int]) -> None:
    firsts = {value: values.index(value) for value in values}
    assert pairs(values) == sorted((firsts[value], place) for place, value in enumerate(values) if firsts[value] != place)


@given(VALUES)
def test_round_by_round_all_pairs_of_a_value_come_up_once(values: list[int]) -> None:
    left_over, found = buckets(np.array(values, np.uint32)), list[tuple[int, int]]()
    while len(left_over.texts):
        left, right = left_over.pairs()
        found += zip(left.tolist(), right.tolist(), strict=True)
        left_over = left_over.only(~left_over.is_first)
    everybody = range(len(values))
    assert sorted(found) == [(one, other) for one in everybody for other in everybody if one < other and values[one] == values[other]]


def test_a_bucket_in_which_one_stays_is_none() -> None:
    found = buckets(np.array([7, 7, 7, 9, 9, 9], np.uint32) << np.uint32(28))
    left, right = found.only(np.array([True, False, False, False, True, True])).pairs()
    assert (left.tolist(), right.tolist()) == ([4], [5])


def test_equal_shingles_in_any_order_make_equal_bands() -> None:
    shingles = np.arange(1, 41, dtype=np.uint32) * np.uint32(2_654_435_761)
    for size, (many, _) in BANDS.items():
        found = bands(np.concatenate((shingles, shingles[::-1], shingles[:20])), np.array([40, 40, 20]), size)
        assert found.shape == (many, 3)
        assert (found[:, 0] == found[:, 1]).all()
        assert (found[:, 0] != found[:, 2]).any()


def test_small_buckets_are_told_from_large_ones() -> None:
    small, large = buckets(np.array([7, 9, 7, 9, 9], np.uint32) << np.uint32(28)).split(2)
    assert (small.texts.tolist(), large.texts.tolist()) == ([0, 2], [1, 3, 4])
    assert (small.is_first.tolist(), large.is_first.tolist()) == ([True, False], [True, False, False])
