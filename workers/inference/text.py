"""Text out of tokens, piece by piece: whole characters only, and never a part of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    def decode(self, token_ids: list[int], /, *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        """Return the tokens' text."""


class WholeCharacters:
    """Decodes tokens as they come, and holds back those that end inside a character.

    A byte-level token may be a third of a character, and a SentencePiece token loses its space when it stands alone; so each piece is
    the difference between two decodings that begin at the same earlier token.
    """

    def __init__(self, tokenizer: Decoder) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._context = 0
        self._told = 0

    def push(self, token: int) -> str:
        """Take a token and return the text that became certain."""
        self._ids.append(token)
        return self._news(even_if_torn=False)

    def rest(self) -> str:
        """Return what is left at the end, torn characters as replacement characters."""
        return self._news(even_if_torn=True)

    def _news(self, *, even_if_torn: bool) -> str:
        known = self._decode(self._ids[self._context : self._told])
        text = self._decode(self._ids[self._context :])
        if len(text) <= len(known) or (text.endswith(REPLACEMENT) and not even_if_torn):
            return ""
        self._context, self._told = self._told, len(self._ids)
        return text[len(known) :]

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class StopStrings:
    """Passes text through until one of `stops` appears, wherever the borders of the pieces fall."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.hit = False

    def push(self, piece: str) -> str:
        """Take a piece and return what can no longer become part of a stop string."""
        self._held += piece
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        self.hit = self.hit or bool(found)
        cut = min(found) if found else len(self._held) - self._possible_start()
        said, self._held = self._held[:cut], "" if found else self._held[cut:]
        return said

    def rest(self) -> str:
        """Return what was held back in vain."""
        said, self._held = self._held, ""
        return said

    def _possible_start(self) -> int:
        """Return the length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0


class AnswerText:
    """The text of one answer: characters made whole, stop strings cut off."""

    def __init__(self, tokenizer: Decoder, stops: Sequence[str]) -> None:
        self._characters = WholeCharacters(tokenizer)
        self._stops = StopStrings(stops)

    @property
    def stopped(self) -> bool:
        """Whether a stop string appeared."""
        return self._stops.hit

    def push(self, token: int) -> str:
        """Take a token and return the text that may be shown."""
        return self._stops.push(self._characters.push(token))

    def rest(self) -> str:
        """Return the text still held back at the end."""
        said = self._stops.push(self._characters.rest())
        return said if self.stopped else said + self._stops.rest()
