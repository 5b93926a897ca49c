"""What a run would learn, without running it: rows rendered, tokenised and masked as the trainer does it, looked at and counted."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from app.domain.preflight import Counts, Piece, Preflight, SharedPrefix, ShownRow, Spread
from workers.training.faults import Looked, find_faults
from workers.training.forest import alike, in_order, shared_share
from workers.training.prepare import Prepared
from workers.training.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from workers.training.masks import MaskedRow, Masker

SHOWN_OF_EACH = 3
HEAD_TOKENS, TAIL_TOKENS = 700, 300
"""What is shown of a very long row: its beginning, and its end, where the answer is."""
MOST_BINS = 40
Why = Literal["longest", "shortest", "random"]


@dataclass(frozen=True)
class Wanted:
    """What a run would do with its rows."""

    max_length: int
    batch_size: int = 8
    seed: int = 0
    total_rows: int | None = None
    """How many there are, when these are only some of them."""


@dataclass(frozen=True)
class Length:
    """A row that can be masked: its place among those given, all its tokens, and how many of them are learnt: none that is cut away."""

    place: int
    tokens: int
    trained: int


def look(rows: Sequence[Row], masker: Masker, wanted: Wanted, *, context: int | None, go_on: Callable[[Row], bool]) -> Preflight:
    """Return what is found in the rows; once `go_on` says no before a row, in those that were looked at so far."""
    began = time.monotonic()
    max_length = min(wanted.max_length, context or wanted.max_length)
    prepared, seen, lengths = Prepared(), list[Row](), list[Length]()
    for place in _order(rows, wanted.seed):
        if not go_on(rows[place]) and seen:
            break
        masked = prepared.add(rows[place], masker, max_length)
        seen.append(rows[place])
        if masked is not None:
            lengths.append(Length(place, len(masked.ids), int(masked.trained[1:max_length].sum())))
        if prepared.slow:
            break
    total = wanted.total_rows or len(rows)
    looked = Looked(seen, prepared, masker, max_length, context, is_whole=len(seen) == total)
    kept = [row for row in prepared.rows if row.trained[1:].any()]
    tokens = sum(len(row.ids) for row in kept)
    return Preflight(
        template=masker.template.source, max_length=max_length, context=context, counts=_counts(looked, total, masker),
        rows=_shown(rows, lengths, masker, max_length, wanted.seed),
        tokens=_spread([length.tokens for length in lengths]), answers=_spread([length.trained for length in lengths]),
        trained_share=sum(int(row.trained[1:].sum()) for row in kept) / tokens if tokens else 0.0,
        shared_prefix=_shared(kept, wanted), steps_per_epoch=math.ceil(total / wanted.batch_size),
        faults=find_faults(looked), seconds=round(time.monotonic() - began, 3),
    )  # fmt: skip


def _order(rows: Sequence[Row], seed: int) -> list[int]:
    """Return in which order to look: what is likely shown first, the others by lot, since there may be no time for all."""
    by_size = sorted(range(len(rows)), key=lambda place: sum(len(message.content) for message in rows[place].messages))
    first = dict.fromkeys([*by_size[-SHOWN_OF_EACH:], *by_size[:SHOWN_OF_EACH]])
    others = (int(place) for place in np.random.default_rng(seed).permutation(len(rows)))
    return list(first | dict.fromkeys(others))


def _counts(looked: Looked, total: int, masker: Masker) -> Counts:
    prepared = looked.prepared
    known = {*masker.tokenizer.added_tokens_decoder, *masker.tokenizer.all_special_ids}
    ends = sum(bool(len(row.ids)) and bool(row.trained[-1]) and not row.cut and int(row.ids[-1]) in known for row in prepared.rows)
    return Counts(
        rows=looked.many, total=total, truncated=prepared.truncated, answers_cut=len(prepared.beyond), silent=len(prepared.silent),
        ends_learnt=ends, doubled_bos=len(prepared.doubled), control_tokens=len(prepared.marked),
        refused=sum(len(refusal.rows) for refusal in prepared.refusals.values()),
        trained_prompt=sum(len(refusal.rows) for refusal in prepared.refusals.values() if refusal.code == "trained_prompt"),
        borders_differ=prepared.borders_differ,
    )  # fmt: skip


def _shown(rows: Sequence[Row], lengths: Sequence[Length], masker: Masker, max_length: int, seed: int) -> list[ShownRow]:
    by_length = sorted(lengths, key=lambda length: (length.tokens, length.place))
    picked: dict[int, Why] = {length.place: "longest" for length in by_length[: -SHOWN_OF_EACH - 1 : -1]}
    for length in by_length[:SHOWN_OF_EACH]:
        picked.setdefault(length.place, "shortest")
    others = [length.place for length in sorted(lengths, key=lambda length: length.place) if length.place not in picked]
    by_lot = np.random.default_rng(seed).permutation(len(others))[:SHOWN_OF_EACH]
    for lot in by_lot:
        picked[others[int(lot)]] = "random"
    return [_shown_row(rows[place], why, masker, max_length) for place, why in picked.items()]


def _shown_row(row: Row, why: Why, masker: Masker, max_length: int) -> ShownRow:
    masked = masker.mask(row.messages, row.tools, ends=True)
    pieces = _pieces(masked, masker)
    skipped = None
    if len(pieces) > HEAD_TOKENS + TAIL_TOKENS:
        skipped = HEAD_TOKENS, len(pieces) - HEAD_TOKENS - TAIL_TOKENS
        pieces = [*pieces[:HEAD_TOKENS], *pieces[-TAIL_TOKENS:]]
    cut = max_length if len(masked.ids) > max_length else None
    trained = int(masked.trained[1:max_length].sum())
    return ShownRow(number=row.number, why=why, tokens=len(masked.ids), trained=trained, cut=cut, pieces=pieces, skipped=skipped)


def _pieces(masked: MaskedRow, masker: Masker) -> list[Piece]:
    """Return the row's tokens with their texts, which together are the whole; a token that ends inside a character has none of it."""
    known = {**masker.tokenizer.added_tokens_decoder}
    pieces, told = [], 0
    ends = masked.ends.tolist() if masked.ends is not None else []
    for token, end, trained in zip(masked.ids.tolist(), ends, masked.trained.tolist(), strict=True):
        text = masked.text[told:end] or (str(known[token]) if token in known else "")
        pieces.append(Piece(token, text, trained, token in known))
        told = max(told, end)
    return pieces


def _spread(numbers: Sequence[int]) -> Spread | None:
    if not numbers:
        return None
    found = np.asarray(numbers)
    median, p95 = np.percentile(found, [50, 95], method="nearest")
    return Spread(
        bins=_bins(found), min=int(found.min()), median=int(median), p95=int(p95), max=int(found.max()), sum=int(found.sum())
    )  # fmt: skip


def _bins(found: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return the rows in bins that grow with the numbers, so that short rows are told apart and long ones still fit in."""
    low, high = int(found.min()), int(found.max()) + 1
    steps = np.geomspace(max(low, 1), max(high, 2), MOST_BINS + 1)
    edges = np.unique(np.concatenate([[low], np.ceil(steps[1:-1]), [high]]).astype(np.int64).clip(low, high))
    counts, _ = np.histogram(found, edges)
    return [(int(a), int(b), int(many)) for (a, b), many in zip(pairwise(edges), counts, strict=True)]


def _shared(rows: Sequence[MaskedRow], wanted: Wanted) -> SharedPrefix:
    """Return what the trainer need not compute again of the rows of its steps, and what it would not over all rows at once."""
    ids = [row.ids for row in rows]
    total = sum(map(len, ids))
    if not total:
        return SharedPrefix(steps=0.0, all=0.0)
    of_steps = shared_share(ids, batch_size=wanted.batch_size, seed=wanted.seed)
    return SharedPrefix(steps=of_steps, all=sum(alike(ids, in_order(ids))) / total)
