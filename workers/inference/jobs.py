"""A request on its way through the engine, and what it tells whoever asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.domain.errors import StudioError
from workers.inference.protocol import FinishReason, ServedRequest, Usage

if TYPE_CHECKING:
    from workers.inference.decoding import Sequence
    from workers.inference.models import BaseKey
    from workers.inference.text import AnswerText


@dataclass(frozen=True)
class Begun:
    """The prompt was read; from now on text comes."""


@dataclass(frozen=True)
class Piece:
    """Some text of a choice."""

    choice: int
    text: str


@dataclass(frozen=True)
class Ended:
    """A choice is over."""

    choice: int
    reason: FinishReason


@dataclass(frozen=True)
class Done:
    """All choices are over."""

    usage: Usage


@dataclass(frozen=True)
class Failed:
    """Nothing more comes."""

    error: StudioError


Report = Begun | Piece | Ended | Done | Failed


@dataclass
class Choice:
    """One answer of a request, while it grows."""

    index: int
    sequence: Sequence
    text: AnswerText
    is_over: bool = False


@dataclass
class Job:
    """A request, whom to tell, and how far it has come."""

    request: ServedRequest
    tell: Callable[[Report], None]
    is_cancelled: bool = False
    base: BaseKey | None = None
    adapter: str | None = None
    prompt_tokens: int = 0
    choices: list[Choice] = field(default_factory=list)

    def cancel(self) -> None:
        """Stop at the next token; safe from any thread."""
        self.is_cancelled = True

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.is_cancelled or all(choice.is_over for choice in self.choices)

    @property
    def usage(self) -> Usage:
        """What was counted so far."""
        return Usage(self.prompt_tokens, sum(choice.sequence.produced for choice in self.choices))
