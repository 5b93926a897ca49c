"""A number that nobody knows exactly: what is most likely, and between what it lies."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """Seconds, a rate or a share: likely, at least, at most."""

    likely: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Span:
        """Return what is known and has no range."""
        return cls(value, value, value)

    def times(self, number: float) -> Span:
        """Return so many of these."""
        return Span(self.likely * number, self.low * number, self.high * number)
