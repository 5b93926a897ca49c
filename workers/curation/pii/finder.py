"""Personal data in a text, from everything that finds some: the surer find keeps its place."""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.masking import Span
from workers.curation.pii.addresses import find_parts, joined
from workers.curation.pii.context import find_by_context
from workers.curation.pii.form import find_by_form
from workers.curation.pii.secrets import find_secrets
from workers.curation.pii.tagger import Tagger


class Finder:
    """Finds personal data; loads its word lists and weights once."""

    def __init__(self) -> None:
        self._tagger = Tagger.load()

    def find(self, text: str) -> list[Span]:
        """Return the personal data of a text, in order and without overlaps."""
        found = Found(text)
        for spans in (find_secrets(text), find_by_form(text), find_by_context(text)):
            found.add(spans)
        tagged = self._tagger.find(text, found.taken)
        parts = (span for span in (*tagged, *find_parts(text)) if span.kind == "ADDRESS" and found.is_free(span))
        found.add(joined(text, parts))
        found.add(tagged)
        return sorted(found.spans)


class Found:
    """What was found of a text so far, and which of its letters that takes."""

    def __init__(self, text: str) -> None:
        self.spans: list[Span] = []
        self.taken = bytearray(len(text))

    def add(self, spans: Iterable[Span]) -> None:
        """Add what overlaps nothing found before."""
        for span in spans:
            if self.is_free(span):
                self.spans.append(span)
                self.taken[span.start : span.end] = b"\1" * (span.end - span.start)

    def is_free(self, span: Span) -> bool:
        """Tell whether nothing found so far has a letter of it."""
        return not any(self.taken[span.start : span.end])
