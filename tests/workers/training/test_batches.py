"""Rows laid out: what is computed, and where each trained token is predicted."""

from __future__ import annotations

import numpy as np
import pytest

from workers.training.batches import Batch, Layout, lay_out
from workers.training.masks import MaskedRow


def masked(length: int, trained: int, first: int = 0) -> MaskedRow:
    mask = np.zeros(length, dtype=np.bool_)
    mask[length - trained :] = True
    return MaskedRow(np.arange(first, first + length, dtype=np.int32), mask)


def test_rows_of_like_length_share_a_micro_batch_and_untrained_rows_are_left_out() -> None:
    rows = [masked(9, 2), masked(3, 1), masked(8, 0), masked(4, 3)]
    batches = lay_out(list(enumerate(rows)), Layout.PADDED, size=2, token_budget=0)
    assert [batch.rows for batch in batches] == [(1, 3), (0,)]
    assert batches[0].ids.shape == (2, 3)
    assert batches[0].targets.tolist() == [2, 1, 2, 3]


def test_a_budget_of_padded_tokens_bounds_a_micro_batch() -> None:
    batches = lay_out(list(enumerate([masked(10, 1)] * 7)), Layout.PADDED, token_budget=30)
    assert [len(batch.rows) for batch in batches] == [3, 3, 1]


def branches() -> list[tuple[int, MaskedRow]]:
    """Five rows behind one prompt of sixty tokens, two of them behind a longer one, and a row of its own."""
    prompt, more = list(range(60)), list(range(60, 120))
    said = [[*prompt, 200, 201], [*prompt, *more, 202], [*prompt, 203], [*prompt, *more, 204, 205], prompt, [7, 8, 9]]
    rows = [MaskedRow(np.array(ids, dtype=np.int32), np.arange(len(ids)) >= len(ids) - 2) for ids in said]
    return list(enumerate(rows))


def read_back(batch: Batch, rows: list[tuple[int, MaskedRow]]) -> None:
    """See that every trained token is predicted from a position that holds the token before it, at its place in the row."""
    assert batch.positions is not None
    places = iter(batch.places.tolist())
    for number in batch.rows:
        row = dict(rows)[number]
        for index in np.flatnonzero(row.trained[1:]):
            place = next(places)
            assert batch.ids[0, place] == row.ids[index]
            assert batch.positions[0, place] == index
    assert next(places, None) is None
    assert batch.targets.tolist() == [int(t) for n in batch.rows for t in dict(rows)[n].ids[1:][dict(rows)[n].trained[1:]]]
    assert sum(batch.counts) == len(batch.targets)


def test_what_rows_begin_with_alike_stands_once() -> None:
    rows = branches()
    (batch,) = lay_out(rows, Layout.SHARED_PREFIX, token_budget=10_000)
    assert batch.computed == 59 + 2 + 61 + 1 + 1 + 2  # the prompt, what goes on from it, what goes on from that, and the row of its own
    assert batch.tokens == sum(len(row.ids) - 1 for _, row in rows)
    read_back(batch, rows)


def test_packed_rows_share_nothing_and_lose_nothing() -> None:
    rows = branches()
    (batch,) = lay_out(rows, Layout.PACKED, token_budget=10_000)
    assert batch.plan is not None
    assert batch.plan.segments[-2].end == batch.tokens  # behind it is what the pack is filled up with
    read_back(batch, rows)


@pytest.mark.parametrize("layout", [Layout.SHARED_PREFIX, Layout.PACKED])
def test_packs_keep_to_the_budget_and_hold_every_row_once(layout: Layout) -> None:
    rows = branches()
    batches = lay_out(rows, layout, token_budget=100)
    assert len(batches) > 1
    assert all(batch.computed <= 100 or len(batch.rows) == 1 for batch in batches)
    assert sorted(row for batch in batches for row in batch.rows) == [0, 1, 2, 3, 4, 5]
    for batch in batches:
        read_back(batch, rows)


def test_a_micro_batch_of_so_many_rows_is_kept_to_in_packs() -> None:
    assert [len(batch.rows) for batch in lay_out(branches(), Layout.SHARED_PREFIX, token_budget=10_000, size=4)] == [4, 2]


def test_larger_packs_are_filled_up_with_tokens_that_nobody_sees() -> None:
    rows = list(enumerate([masked(90, 5), masked(120, 7), masked(83, 2)]))
    (batch,) = lay_out(rows, Layout.PACKED, token_budget=10_000)
    assert batch.tokens == 90 + 120 + 83 - 3
    assert batch.computed == 320
    assert batch.places.max() < batch.tokens
    assert batch.plan is not None
    assert [(s.start, s.end, s.reach, s.parent) for s in batch.plan.segments][-1] == (290, 320, 320, -1)
    assert all(s.reach <= 290 for s in batch.plan.segments[:-1])
    read_back(batch, rows)


def test_what_saves_too_little_to_be_shared_counts_in_full() -> None:
    prompt = np.arange(100)
    tails = [np.concatenate([np.full(40, 200 + n // 2), np.full(60, 300 + n)]) for n in range(12)]  # pairs go on alike, but not far
    ids = [np.concatenate([prompt, tail]).astype(np.int32) for tail in tails]
    rows = [(n, MaskedRow(row, np.arange(len(row)) > 190)) for n, row in enumerate(ids)]
    batches = lay_out(rows, Layout.SHARED_PREFIX, token_budget=512)
    assert all(batch.computed <= 512 for batch in batches)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(12))
