"""Token counts of conversations with the bundled base's tokenizer, exact for its chat template; needs no torch."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.domain.datasets import Message


class TokenCounter:
    """Counts as the bundled base would see a row."""

    def __init__(self, model_folder: Path) -> None:
        self.file = model_folder / "tokenizer.json"

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.file))

    def count(self, messages: Sequence[Message]) -> int:
        """Return the tokens of a whole row, markers of turns included."""
        text = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
        return len(self._tokenizer.encode(text).ids)

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text where it stands in a turn, behind the line that names its role."""
        return [len(each) - 1 for each in self._tokenizer.encode_batch_fast([f"\n{text}" for text in texts])]
