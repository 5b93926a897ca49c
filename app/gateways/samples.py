"""The shelf of sample datasets: folders with sample.json, train.jsonl and test.jsonl."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from app.domain.errors import NotFound
from app.domain.samples import Part, SampleCard, SampleFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CARD = "sample.json"
log = structlog.get_logger()


class SampleShelf:
    """The samples under a folder; a shelf that is not there is an empty one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def listed(self) -> Sequence[SampleCard]:
        """Return every sample's card, the largest first; a broken one is left out and logged."""
        found = []
        for path in sorted(self.folder.glob(f"*/{CARD}")):
            try:
                card = SampleCard.model_validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                log.warning("a sample cannot be read", path=str(path), error=str(error))
                continue
            if card.slug == path.parent.name and (path.parent / f"{Part.TRAIN}.jsonl").is_file():
                found.append(card)
        return sorted(found, key=lambda card: (-card.rows, card.slug))

    def find(self, slug: str) -> SampleCard:
        """Return a sample's card, or NotFound."""
        for card in self.listed():
            if card.slug == slug:
                return card
        message = "There is no such sample."
        raise NotFound(message, code="sample_not_found")

    def file(self, slug: str, part: Part) -> SampleFile:
        """Return one part of a sample, or NotFound."""
        card = self.find(slug)
        path = self.folder / card.slug / f"{part}.jsonl"
        if not path.is_file():
            message = f"The sample {card.slug} has no {part} rows."
            raise NotFound(message, code="sample_not_found")
        content = path.read_bytes()
        name, filename = (f"{card.title} (held out)", f"{slug}-test.jsonl") if part == Part.TEST else (card.title, f"{slug}.jsonl")
        return SampleFile(name=name, filename=filename, content=content, sha256=hashlib.sha256(content).hexdigest())
