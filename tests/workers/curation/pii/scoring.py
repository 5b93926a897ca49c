"""How well personal data is found, kind by kind.

A marked span is found when found spans of its kind cover at least half of its letters; a found span is right when marked ones
of its kind cover at least half of its own. Strictly, both must begin and end at the same letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.masking import Span


@dataclass
class Score:
    """What was marked and found of one kind."""

    marked: int = 0
    hit: int = 0
    found: int = 0
    right: int = 0
    exact: int = 0

    @property
    def recall(self) -> float:
        return self.hit / self.marked if self.marked else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    def row(self, kind: str) -> str:
        strict = [self.exact / each if each else 1.0 for each in (self.marked, self.found)]
        return f"{kind:14}{self.marked:7}{self.found:7}{self.recall:9.3f}{self.precision:11.3f}{strict[0]:15.3f}{strict[1]:18.3f}"


HEAD = f"{'kind':14}{'marked':>7}{'found':>7}{'recall':>9}{'precision':>11}{'strict recall':>15}{'strict precision':>18}"


def score(pairs: Iterable[tuple[Sequence[Span], Sequence[Span]]]) -> dict[str, Score]:
    """Return the score of each kind over pairs of marked and found spans."""
    scores: dict[str, Score] = {}
    for marked, found in pairs:
        for kind in {span.kind for span in (*marked, *found)}:
            ours = scores.setdefault(kind, Score())
            wanted, got = [span for span in marked if span.kind == kind], [span for span in found if span.kind == kind]
            ours.marked += len(wanted)
            ours.found += len(got)
            ours.hit += sum(covered(span, got) for span in wanted)
            ours.right += sum(covered(span, wanted) for span in got)
            ours.exact += len(set(wanted) & set(got))
    return dict(sorted(scores.items()))


def covered(span: Span, others: Iterable[Span]) -> bool:
    """Tell whether others cover at least half of a span."""
    letters = sum(max(0, min(span.end, other.end) - max(span.start, other.start)) for other in others)
    return 2 * letters >= span.end - span.start


def table(scores: dict[str, Score]) -> str:
    """Return the scores as lines of text."""
    return "\n".join([HEAD, *(ours.row(kind) for kind, ours in scores.items())])
