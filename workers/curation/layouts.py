"""How programs spell rows of well-known shapes, byte by byte: where the texts of such rows begin and end, and what they say.

A layout is all that stands around the texts. Since a bare quote ends a text, a row whose quotes are where the layout has them, with the
layout's bytes between them, is that row and no other: no JSON parser would read it differently.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from app.domain.datasets import DatasetFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.int64]
    Mask = NDArray[np.bool_]

SYSTEM, USER, ASSISTANT = range(3)
ROLES = ("system", "user", "assistant")
SPOKEN_AS = {"system": SYSTEM, "user": USER, "human": USER, "assistant": ASSISTANT, "gpt": ASSISTANT}
FIRST = [f'[["{role}","'.encode() for role in ROLES]
NEXT = [f'"],["{role}","'.encode() for role in ROLES]
ROW_END = b"\xff"
"""Parts rows in their canonical spelling: no byte of UTF-8."""
PIECES = (*FIRST, *NEXT, b'"]]' + ROW_END, b"\\n\\n", b"\n\n", b"")
"""What stands around texts in a conversation's canonical spelling, and between two that are joined; told of as -1, -2 and so on."""
START_OF, GO_ON_WITH = np.array([-1, -2, -3]), np.array([-4, -5, -6])
END, JOINT_SPELT, JOINT, NOTHING = -7, -8, -9, -10
WORD_BYTES = 8
STYLES = ((", ", ": "), (",", ":"))


class Scan(NamedTuple):
    """A block of whole lines: its bytes, also as the words that begin at each, where lines begin and end, and its bare quotes.

    `first_quotes` has the number of each line's first quote, and how many there are in all.
    """

    view: NDArray[np.uint8]
    words: NDArray[np.uint64]
    starts: Places
    ends: Places
    quotes: Places
    first_quotes: Places


@dataclass(frozen=True)
class Found:
    """Rows of the layout: the lines they are, how many texts each has, where the texts begin and end, and who says them."""

    lines: Places
    counts: Places
    starts: Places
    ends: Places
    roles: Places

    @property
    def firsts(self) -> Places:
        """Return the number of each row's first text."""
        return np.cumsum(self.counts) - self.counts

    def only(self, good: Mask) -> Found:
        """Return some of the rows."""
        texts = np.repeat(good, self.counts)
        return Found(self.lines[good], self.counts[good], self.starts[texts], self.ends[texts], self.roles[texts])


class Turns(NamedTuple):
    """What turns are joined of: texts by number, and others as `PIECES` has them; after which of them a turn ends, and who says it.

    `counts` says how many turns each row has.
    """

    pieces: Places
    ends: Places
    roles: Places
    counts: Places


class Layout(Protocol):
    """A way to spell rows of one shape, which have these names."""

    shape: DatasetFormat
    names: tuple[str, ...]

    def find(self, scan: Scan) -> Found:
        """Return the rows that are spelt so."""

    def usable(self, found: Found, blank: Mask, /) -> Mask:
        """Return which rows are certain to make good conversations; `blank` says which texts are empty or only space."""

    def spelt(self, found: Found, blank: Mask, /) -> Places:
        """Return the pieces that make the canonical spelling of each row."""

    def turns(self, found: Found, blank: Mask, /) -> Turns:
        """Return the pieces that make the content of each turn, and whose it is."""


class Talk:
    """Rows that are a list of turns: OpenAI's and ShareGPT's."""

    def __init__(self, shape: DatasetFormat, names: tuple[str, str, str], style: tuple[str, str]) -> None:
        turns, speaker, text = names
        self.shape = shape
        self.names: tuple[str, ...] = (turns,)
        comma, colon = style
        self._head = f'{{"{turns}"{colon}[{{"'.encode()
        self._between, self._end = f'"}}{comma}{{"'.encode(), b'"}]}\n'
        self._turn = {said: f'"{speaker}"{colon}"{said}"{comma}"{text}"{colon}"'.encode() for said in SPOKEN_AS}

    def find(self, scan: Scan) -> Found:
        """Return the rows that are spelt so: two quotes for the list's name, then eight for each turn."""
        quotes = np.diff(scan.first_quotes) - 2
        lines = np.flatnonzero((quotes > 0) & (quotes % 8 == 0))
        counts = quotes[lines] // 8
        firsts = np.cumsum(counts) - counts
        within = np.arange(counts.sum()) - np.repeat(firsts, counts)
        place = np.repeat(scan.first_quotes[lines] + 2, counts) + 8 * within
        opened, text_at, closed = scan.quotes[place], scan.quotes[place + 6], scan.quotes[place + 7]
        roles = self._roles(scan, opened, text_at)
        begins = np.empty_like(closed)
        begins[1:] = closed[:-1]
        begins[firsts] = scan.starts[lines]
        good = roles >= 0
        later = np.flatnonzero(within)
        good[firsts] &= stands(scan, begins[firsts], opened[firsts], self._head)
        good[later] &= stands(scan, begins[later], opened[later], self._between)
        rows = np.logical_and.reduceat(good, firsts) if len(firsts) else good[:0]
        rows &= stands(scan, closed[firsts + counts - 1], scan.ends[lines], self._end)
        return Found(lines, counts, text_at + 1, closed, roles).only(rows)

    def _roles(self, scan: Scan, opened: Places, text_at: Places) -> Places:
        roles = np.full(len(opened), -1)
        for said, literal in self._turn.items():
            candidates = np.flatnonzero(text_at - opened == len(literal) - 1)
            candidates = candidates[stands(scan, opened[candidates], text_at[candidates], literal)]
            roles[candidates] = SPOKEN_AS[said]
        return roles

    def usable(self, found: Found, blank: Mask) -> Mask:
        """Return the rows with a question, an answer at their end, a system turn at their head alone, and nothing empty."""
        firsts = found.firsts
        misplaced = found.roles == SYSTEM
        misplaced[firsts] = False
        bad = np.logical_or.reduceat(blank | misplaced, firsts)
        asked = np.logical_or.reduceat(found.roles == USER, firsts)
        answered = found.roles[firsts + found.counts - 1] == ASSISTANT
        usable: Mask = asked & answered & ~bad
        return usable

    def spelt(self, found: Found, _blank: Mask) -> Places:
        """Return a row's turns, each behind what begins it, and its end."""
        firsts, texts = found.firsts, len(found.roles)
        begins = GO_ON_WITH[found.roles]
        begins[firsts] = START_OF[found.roles[firsts]]
        at = 2 * np.arange(texts) + np.repeat(np.arange(len(firsts)), found.counts)
        ends = 2 * np.cumsum(found.counts) + np.arange(len(firsts))
        pieces = np.empty(2 * texts + len(firsts), np.int64)
        pieces[at], pieces[at + 1], pieces[ends] = begins, np.arange(texts), END
        return pieces

    def turns(self, found: Found, _blank: Mask) -> Turns:
        """Return each text as a turn of its own."""
        texts = np.arange(len(found.roles))
        return Turns(texts, texts + 1, found.roles, found.counts)


class Flat:
    """Rows that are a question, perhaps with something to it, and its answer, each under a name: Alpaca's, and prompt and completion."""

    def __init__(self, shape: DatasetFormat, names: list[str], style: tuple[str, str]) -> None:
        self.shape = shape
        self.names: tuple[str, ...] = tuple(names)
        self._asked, self._added, self._answered = (self._place(names, among) for among in (ASKED, ADDED, ANSWERED))
        comma, colon = style
        begins = [f'{opened}"{name}"{colon}"'.encode() for opened, name in zip(["{", *[f'"{comma}'] * len(names)], names, strict=False)]
        self._literals = [*begins, b'"}\n']

    @staticmethod
    def _place(names: list[str], among: tuple[str, ...]) -> int | None:
        return next((place for place, name in enumerate(names) if name in among), None)

    def find(self, scan: Scan) -> Found:
        """Return the rows that are spelt so: four quotes for each name and its text."""
        width = len(self._literals) - 1
        lines = np.flatnonzero(np.diff(scan.first_quotes) == 4 * width)
        quotes = scan.quotes[scan.first_quotes[lines][:, None] + np.arange(4 * width)]
        opened, closed = quotes[:, 2::4], quotes[:, 3::4]
        good = stands(scan, closed[:, -1], scan.ends[lines], self._literals[-1])
        before = scan.starts[lines]
        for place in range(width):
            good &= stands(scan, before, opened[:, place], self._literals[place])
            before = closed[:, place]
        counts = np.full(len(lines), width)
        return Found(lines, counts, (opened + 1).ravel(), closed.ravel(), np.zeros(closed.size, np.int64)).only(good)

    def usable(self, found: Found, blank: Mask) -> Mask:
        """Return the rows with a question and an answer."""
        texts = blank.reshape(len(found.lines), -1)
        return ~texts[:, self._asked] & ~texts[:, self._answered]

    def spelt(self, found: Found, blank: Mask) -> Places:
        """Return the question behind what begins it, and the answer."""
        question = self._question(found, blank, JOINT_SPELT)
        return self._table(found, [START_OF[USER], *question, GO_ON_WITH[ASSISTANT], self._numbers(found, self._answered), END]).ravel()

    def turns(self, found: Found, blank: Mask) -> Turns:
        """Return a question and an answer."""
        question = self._question(found, blank, JOINT)
        table = self._table(found, [*question, self._numbers(found, self._answered)])
        ends = np.arange(table.size).reshape(table.shape)[:, -2:] + 1
        rows = len(found.lines)
        return Turns(table.ravel(), ends.ravel(), np.tile([USER, ASSISTANT], rows), np.full(rows, 2))

    def _question(self, found: Found, blank: Mask, joint: int) -> list[Places]:
        asked = self._numbers(found, self._asked)
        if self._added is None:
            return [asked]
        added = self._numbers(found, self._added)
        without = blank[added]
        return [asked, np.where(without, NOTHING, joint), np.where(without, NOTHING, added)]

    def _numbers(self, found: Found, place: int | None) -> Places:
        return np.arange(len(found.lines)) * (len(self._literals) - 1) + (place or 0)

    def _table(self, found: Found, columns: list[Places | int]) -> Places:
        """Return columns of pieces as a table with a line for each row."""
        table = np.empty((len(found.lines), len(columns)), np.int64)
        for place, column in enumerate(columns):
            table[:, place] = column
        return table


ASKED, ADDED, ANSWERED = ("instruction", "prompt"), ("input",), ("output", "response", "completion")
TALKS = {
    ("messages", "role", "content"): DatasetFormat.CHAT,
    ("conversations", "from", "value"): DatasetFormat.SHAREGPT,
}
FLATS = {
    frozenset({"instruction", "input", "output"}): DatasetFormat.ALPACA,
    frozenset({"instruction", "output"}): DatasetFormat.ALPACA,
    frozenset({"prompt", "completion"}): DatasetFormat.PROMPT_COMPLETION,
    frozenset({"prompt", "response"}): DatasetFormat.PROMPT_COMPLETION,
}


def layouts_of(line: bytes) -> list[Layout]:
    """Return the layouts that a line may have, by its names and their order."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return []
    if not isinstance(row, dict):
        return []
    names = list(row)
    flat = FLATS.get(frozenset(names))
    if flat:
        return [Flat(flat, names, style) for style in STYLES]
    turns = row.get(names[0]) if len(names) == 1 else None
    turn = turns[0] if isinstance(turns, list) and turns else None
    words = (names[0], *turn) if isinstance(turn, dict) and turn else ()
    talk = TALKS.get(words)
    return [Talk(talk, words, style) for style in STYLES] if talk else []


def stands(scan: Scan, begin: Places, end: Places, literal: bytes) -> Mask:
    """Return where a literal stands: from a place on, its last byte at another."""
    right: Mask = end - begin == len(literal) - 1
    size = WORD_BYTES
    # Word by word, since gathering single bytes takes several times as long; the last word ends where the literal does.
    for at in {*range(0, len(literal) - size, size), len(literal) - size}:
        known = literal[max(0, at) : at + size]
        word = int.from_bytes(known, "little") << 8 * (size - len(known))
        mask = (1 << 64) - (1 << 8 * (size - len(known)))
        there = scan.words[np.clip(begin + at, 0, len(scan.words) - 1)]
        right &= (there & np.uint64(mask)) == np.uint64(word)
    return right
