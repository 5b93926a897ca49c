"""Who attends to whom in a pack of rows: each token sees itself, what stands before it in its segment, and its ancestors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.training.forest import Segment

SCORES_AT_ONCE = 131_072
"""Scores of one head that a block computes: so many, of a few heads, stay in a core's cache."""
LONG = 192
"""Segments of more tokens are cut into blocks of queries, which spares the upper half of their scores."""
LEAST_QUERIES = 64
PADDING = 0.4
"""Segments at least this long, measured by the longest beside them, are padded to one length."""
MASKED = float("-inf")


@dataclass(frozen=True)
class Block:
    """Queries that look at the same keys, or row by row at their own: N rows of queries and as many of keys."""

    queries: torch.Tensor | slice  # N, Q: places in the pack; a slice: N is 1
    keys: torch.Tensor | slice  # N, K
    is_causal: bool
    """The last queries are the last keys: none sees what comes behind it."""
    real: torch.Tensor | None = None  # of N * Q: the queries that are no padding; None: all
    padding: torch.Tensor | None = None  # of N * Q: the others

    @property
    def flat(self) -> torch.Tensor | slice:
        """Return the places of the queries one behind the other."""
        return self.queries if isinstance(self.queries, slice) else self.queries.reshape(-1)


@dataclass(frozen=True)
class AttentionPlan:
    """Who attends to whom in a pack: made once, used by every layer."""

    segments: Sequence[Segment]
    own: tuple[Block, ...]
    """Each token's own segment; every token is a query here exactly once."""
    shared: tuple[Block, ...]
    """What comes after a segment, looking back at it."""
    longest: int
    """Tokens of the longest row."""
    _masks: dict[tuple[int, ...], torch.Tensor | None] = field(default_factory=dict, compare=False)
    block_masks: dict[int | None, Any] = field(default_factory=dict, compare=False)
    """What flex_attention needs of it on a GPU, by window."""

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> AttentionPlan:
        """Return the plan for the segments of a pack."""
        short = [segment for segment in segments if segment.length <= LONG]
        long = [segment for segment in segments if segment.length > LONG]
        own = [*_side_by_side(short), *(block for segment in long for block in _in_steps(segment))]
        shared = [block for segment in segments if segment.reach > segment.end for block in _looking_back(segment)]
        longest = max((segment.position + segment.length for segment in segments), default=0)
        return cls(segments, tuple(own), tuple(shared), longest)

    @property
    def adds_up(self) -> bool:
        """Say whether a token's gradient comes from several blocks."""
        return bool(self.shared) or any(isinstance(block.queries, slice) for block in self.own)

    @cached_property
    def positions(self) -> torch.Tensor:
        """Return where each token stands in its row (T)."""
        return torch.cat([torch.arange(s.position, s.position + s.length) for s in self.segments])

    def blocks(self) -> Iterator[tuple[int, Block, bool]]:
        """Yield each block with its number, and whether its queries come for the first time."""
        for number, block in enumerate((*self.own, *self.shared)):
            yield number, block, number < len(self.own)

    def mask(self, number: int, block: Block, window: int | None) -> torch.Tensor | None:
        """Return what is added to the last columns of a block's scores, as many as it has; None where its queries see all keys.

        It is minus infinity where a query does not see a key. Without a window all stand before the queries that are no queries.
        """
        window = window if window is not None and window < self.longest else None
        if not block.is_causal and window is None:
            return None
        queries, keys = self._standing(block.queries), self._standing(block.keys)
        if window is None:
            keys = queries
        # Only distances count, and in a segment these are the lengths': blocks of one shape have one mask.
        key = (len(queries), len(keys), window or 0) if block.is_causal else (number, window or 0)
        if key not in self._masks:
            self._masks[key] = _mask(queries, keys, window)
        return self._masks[key]

    def forget(self) -> None:
        """Let go of the masks, which are large: who asks for one again gets it made again."""
        self._masks.clear()
        self.block_masks.clear()

    def _standing(self, places: torch.Tensor | slice) -> torch.Tensor:
        if isinstance(places, slice):
            return self.positions[places]
        return torch.arange(places.shape[1])  # only distances within a row count, and these are the columns'


def _mask(queries: torch.Tensor, keys: torch.Tensor, window: int | None) -> torch.Tensor | None:
    distance = queries[:, None] - keys[None, :]
    unseen = distance < 0 if window is None else (distance < 0) | (distance >= window)
    return torch.zeros(unseen.shape).masked_fill_(unseen, MASKED) if bool(unseen.any()) else None


def _side_by_side(segments: Sequence[Segment]) -> Iterator[Block]:
    """Put short segments of like length under one another."""
    group: list[Segment] = []
    for segment in sorted(segments, key=lambda s: -s.length):
        longest = group[0].length if group else 0
        if group and (segment.length < PADDING * longest or (len(group) + 1) * longest**2 > SCORES_AT_ONCE):
            yield _padded(group)
            group = []
        group.append(segment)
    if group:
        yield _padded(group)


def _padded(group: Sequence[Segment]) -> Block:
    longest = group[0].length
    columns = torch.arange(longest)
    starts = torch.tensor([segment.start for segment in group])
    lengths = torch.tensor([segment.length for segment in group])
    places = starts[:, None] + torch.minimum(columns[None], lengths[:, None] - 1)
    real = (columns[None] < lengths[:, None]).reshape(-1)
    if bool(real.all()):
        return Block(places, places, is_causal=True)
    return Block(places, places, is_causal=True, real=real.nonzero()[:, 0], padding=(~real).nonzero()[:, 0])


def _in_steps(segment: Segment) -> Iterator[Block]:
    step = max(LEAST_QUERIES, SCORES_AT_ONCE // segment.length)
    for start in range(segment.start, segment.end, step):
        end = min(start + step, segment.end)
        yield Block(slice(start, end), slice(segment.start, end), is_causal=True)


def _looking_back(segment: Segment) -> Iterator[Block]:
    step = max(LEAST_QUERIES, SCORES_AT_ONCE // segment.length)
    for start in range(segment.end, segment.reach, step):
        yield Block(slice(start, min(start + step, segment.reach)), slice(segment.start, segment.end), is_causal=False)


class Options(NamedTuple):
    """How scores are made: what they are multiplied by, how many tokens back is seen (itself included), and sinks (H).

    Sinks are scores of nothing that take part in the softmax (gpt-oss).
    """

    scale: float
    window: int | None = None
    sinks: torch.Tensor | None = None
