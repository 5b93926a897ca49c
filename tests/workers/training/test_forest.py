"""Rows as a forest: each row is read back whole from it, and what is shared is counted rightly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.training.forest import grow, shared_share

Rows = st.lists(st.lists(st.integers(0, 2), min_size=0, max_size=12), min_size=1, max_size=12)


@given(Rows, st.integers(0, 6))
def test_every_row_is_found_whole_in_the_forest(drawn: list[list[int]], least: int) -> None:
    rows = [np.array(row, dtype=np.int32) for row in drawn]
    forest = grow(rows, least=least)
    held = np.full(forest.tokens, -1)
    standing = np.full(forest.tokens, -1)
    for segment in forest.segments:
        inside = slice(segment.position, segment.position + segment.end - segment.start)
        assert (held[segment.start : segment.end] == -1).all()
        held[segment.start : segment.end] = rows[segment.row][inside]
        standing[segment.start : segment.end] = np.arange(inside.start, inside.stop)
    for number, row in enumerate(rows):
        places = forest.places(number)
        assert held[places].tolist() == row.tolist()
        assert standing[places].tolist() == list(range(len(row)))


@given(Rows)
def test_whatever_goes_on_from_a_segment_stands_within_its_reach(drawn: list[list[int]]) -> None:
    forest = grow([np.array(row, dtype=np.int32) for row in drawn], least=1)
    for number, segment in enumerate(forest.segments):
        below = {number}
        for other, candidate in enumerate(forest.segments):
            if candidate.parent in below:
                below.add(other)
        assert segment.reach == max(forest.segments[one].end for one in below)
        assert all(forest.segments[one].start >= segment.start for one in below)


def test_a_part_is_shared_only_where_that_saves_enough() -> None:
    rows = [np.array([1, 2, 3, 4, last], dtype=np.int32) for last in (7, 8, 9)]
    assert grow(rows, least=8).tokens == 4 + 3
    assert grow(rows, least=9).tokens == 15


def test_the_share_is_that_of_the_steps_rows() -> None:
    prompt = np.arange(200, dtype=np.int32)
    rows = [np.concatenate([prompt, np.array([300 + n, 1, 2], dtype=np.int32)]) for n in range(8)]
    assert shared_share(rows, 4, seed=0) == 1 - (200 + 4 * 2) / (4 * 202)
    assert shared_share(rows, 1, seed=0) == 0.0
    assert shared_share([], 4, seed=0) == 0.0
