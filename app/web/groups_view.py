"""Rows that are alike, side by side: which would be kept, and word by word what the others say differently."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from app.domain.problems import LEAKS, Trouble
from app.web.rows_view import MOST_TURNS, Piece
from app.web.word_diff import Comparing, shortened

if TYPE_CHECKING:
    from app.domain.datasets import Row
    from app.services.desk_rows import Group


@dataclass(frozen=True)
class Member:
    """A row of a group: what it says, with what differs from the first marked; `beyond` turns of it are not shown."""

    row: Row
    word: str
    is_kept: bool
    turns: list[tuple[str, list[Piece]]]
    beyond: int = 0


@dataclass(frozen=True)
class Shown:
    """A group as it is shown; `more` rows of it are not."""

    members: list[Member]
    more: int
    rows: str


def group_of(group: Group, problem: Trouble, comparing: Comparing) -> Shown:
    """Return a group as it is shown, the row that would be kept first."""
    first = group.rows[0].row if group.rows else None
    members = [_member(each.row, first, group.kept, problem, comparing) for each in group.rows if first is not None]
    return Shown(members, group.size - len(members), ",".join(str(each.row.row) for each in group.rows))


def _member(row: Row, first: Row, kept: int, problem: Trouble, comparing: Comparing) -> Member:
    is_kept = row.row == kept
    first_word, other_word = ("in training", "held out") if problem in LEAKS else ("kept", "left out")
    turns = _turns(row, first, comparing)
    beyond = max(0, len(row.texts) - MOST_TURNS)
    return Member(row, first_word if is_kept else other_word, is_kept, turns, beyond)


def _turns(row: Row, first: Row, comparing: Comparing) -> list[tuple[str, list[Piece]]]:
    roles = [message.role for message in row.messages] + ["worse answer" for _ in row.rejected or ()]
    others = first.texts if row.row != first.row else row.texts
    turns = islice(zip(roles, [*others, *[""] * len(roles)], row.texts, strict=False), MOST_TURNS)
    return [(role, shortened(comparing.merged(other, text))) for role, other, text in turns if role != "system"]
