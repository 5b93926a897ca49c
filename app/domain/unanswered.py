"""Conversations that end without an answer, as their files have them: where the last answer is, and what is left up to there.

A preview and the worker that takes such rows in after all cut them here, so that the two cannot differ.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from app.domain.datasets import ROLES

CONVERSATIONS = ("messages", "conversations", "conversation")


class Answered(NamedTuple):
    """A conversation with turns behind its last answer: its row, the name its turns have there, and how many of them stay."""

    row: dict[str, Any]
    name: str
    kept: int

    @property
    def text(self) -> str:
        """The row up to its last answer, as JSON."""
        return json.dumps(self.row | {self.name: self.row[self.name][: self.kept]}, ensure_ascii=False)

    @property
    def turns(self) -> list[tuple[str, str]]:
        """All its turns: who speaks, and what is said."""
        return [(_role(turn) or "turn", str(_said(turn) or "")) for turn in self.row[self.name]]


def answered(text: str) -> Answered | None:
    """Return where the last answer of a conversation in JSON is; None where there is no answer."""
    try:
        row = json.loads(text)
    except ValueError:
        return None
    name = next((name for name in CONVERSATIONS if isinstance(row, dict) and isinstance(row.get(name), list)), None)
    if name is None:
        return None
    # A call of a tool alone is no answer: it waits for what the tool says.
    answers = [place for place, turn in enumerate(row[name]) if _role(turn) == "assistant" and _said(turn)]
    return Answered(row, name, answers[-1] + 1) if answers else None


def _role(turn: Any) -> str | None:
    role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    return ROLES.get(role.casefold()) if isinstance(role, str) else None


def _said(turn: Any) -> Any:
    return turn.get("content", turn.get("value")) if isinstance(turn, dict) else turn
