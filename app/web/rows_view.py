"""A row as the grid shows it: its turns with what was found marked in them, and what is to look at, in words."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain.calls import passed_in
from app.domain.masking import KINDS
from app.domain.problems import ALONE, CONTROL_MARK, EXPLAINED, PLACEHOLDER_MARK, SECRET_MARK, Mark, Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.datasets import Message, Row
    from app.domain.problems import Finding
    from app.services.desk_rows import Looked

CUT, CUT_TURN, CUT_CALL, MOST, MOST_TURN = 600, 240, 400, 4_000, 1_200
"""A long text is cut and unfolds, sooner where it is one turn of many; of a huge one only the beginning is on the page at all."""
CHARACTERS_OF_A_LINE, LONGEST_WORD, NOT_WORTH_A_CUT = 40, 24, 60
TURNS, MOST_TURNS, MOST_CALLS = 4, 100, 20
"""Further turns of a conversation are folded; of thousands only the first are on the page at all, and so are calls of one turn."""
TITLES = KINDS | {
    PLACEHOLDER_MARK: "a placeholder that nobody filled in", CONTROL_MARK: "a mark of a chat template", SECRET_MARK: "a secret",
}  # fmt: skip
SHORT = {
    "NAME": ("name", "names"), "EMAIL": ("e-mail", "e-mails"), "PHONE": ("phone number", "phone numbers"),
    "ADDRESS": ("address", "addresses"), "DATE_OF_BIRTH": ("date of birth", "dates of birth"),
    "ID": ("ID", "IDs"), "CARD": ("card", "cards"), "IBAN": ("IBAN", "IBANs"),
    "IP": ("IP address", "IP addresses"), "USERNAME": ("user name", "user names"), "URL": ("link", "links"),
}  # fmt: skip
ONE_TURN = {("user", "assistant"), ("system", "user", "assistant")}


class Piece(NamedTuple):
    """A part of a text; a marked one has a kind and a title that says what it is."""

    text: str
    kind: str = ""
    title: str = ""


@dataclass(frozen=True)
class Said:
    """What is said in a turn: what is shown at once, what unfolds, and how many characters are in neither."""

    shown: list[Piece]
    folded: list[Piece]
    more: int
    beyond: int


@dataclass(frozen=True)
class Turn:
    """One turn as it is shown."""

    role: str
    said: Said
    calls: list[list[Piece]] = field(default_factory=list)
    is_untrained: bool = False


class Note(NamedTuple):
    """Something to look at in a row: words, how much it matters, and the row it leads to (ALONE for none)."""

    words: str
    tone: str
    of: int = ALONE


@dataclass(frozen=True)
class Line:
    """A row of the grid; `beyond` turns of it are not shown at all."""

    row: Row
    turns: list[Turn]
    rejected: list[Turn]
    tools: list[tuple[str, str]]
    notes: list[Note]
    tokens: int
    beyond: int = 0

    @property
    def first_turns(self) -> list[Turn]:
        """The turns that are shown at once."""
        return self.turns[:TURNS] if len(self.turns) > TURNS + 1 else self.turns

    @property
    def further_turns(self) -> list[Turn]:
        """The turns that unfold."""
        return self.turns[len(self.first_turns) :]

    @property
    def spoken(self) -> list[Turn]:
        """Its turns without the instruction."""
        return [turn for turn in self.turns if turn.role != "system"]


@dataclass(frozen=True)
class Grid:
    """Rows side by side: in columns of question and answer where each is that, and with the instruction once where all share one."""

    lines: list[Line]
    in_columns: bool
    shared: str

    @property
    def has_rejected(self) -> bool:
        """Whether a column shows worse answers."""
        return any(line.rejected for line in self.lines)

    @property
    def has_labels(self) -> bool:
        """Whether a column says which answers were liked."""
        return any(line.row.label is not None for line in self.lines)


def grid_of(looked: Sequence[Looked], count_tokens: Any, max_tokens: int) -> Grid:
    """Return rows as they are shown."""
    prompt = shared_prompt([each.row for each in looked])
    cut = CUT if prompt is not None else CUT_TURN
    return Grid([line_of(each, count_tokens, max_tokens, cut) for each in looked], prompt is not None, prompt or "")


def line_of(looked: Looked, count_tokens: Any, max_tokens: int, cut: int = CUT) -> Line:
    """Return one row as it is shown."""
    row, found = looked
    marks = found.marks if found else ()
    passed, by_turn, worse = _found_in_calls(row, marks), turn_by_turn(marks), row.rejected or []
    turns, rejected = (
        [_turn(message, by_turn.get(place, ()), passed, cut) for place, message in enumerate(messages[:MOST_TURNS], first)]
        for first, messages in ((0, row.messages), (len(row.messages), worse))
    )
    beyond = len(row.texts) - len(turns) - len(rejected)
    tokens = found.tokens if found else count_tokens(row.messages)
    return Line(row, turns, rejected, _tools(row), notes_of(found, max_tokens) if found else [], tokens, beyond)


def turn_by_turn(marks: Sequence[Mark]) -> dict[int, list[Mark]]:
    """Return the marks of each turn that has some."""
    found: dict[int, list[Mark]] = {}
    for mark in marks:
        found.setdefault(mark.turn, []).append(mark)
    return found


def shared_prompt(rows: Sequence[Row]) -> str | None:
    """Return the system prompt that all of these conversations share, if each is one question and one answer; None for any other shape."""
    shapes = {tuple(message.role for message in row.messages) for row in rows}
    prompts = {message.content for row in rows for message in row.messages if message.role == "system"}
    single = all(len(row.rejected or ()) <= 1 for row in rows)
    fits = shapes <= ONE_TURN and len(shapes) == 1 and len(prompts) <= 1 and single
    return (prompts.pop() if prompts else "") if fits else None


def _found_in_calls(row: Row, marks: Sequence[Mark]) -> dict[str, str]:
    """Return what was found in values that are passed to tools, as JSON spells it, and of what kind each is."""
    first = len(row.texts)
    here = [mark for mark in marks if mark.turn >= first]
    values = passed_in(row) if here else []
    texts = ((values[mark.turn - first].text[mark.start : mark.end], mark.kind) for mark in here)
    return {json.dumps(text, ensure_ascii=False)[1:-1]: kind for text, kind in texts}


def _turn(message: Message, marks: Sequence[Mark], passed: Mapping[str, str], cut: int) -> Turn:
    called = message.tool_calls or []
    calls = [_marked(_call(call), passed) for call in called[:MOST_CALLS]]
    if len(called) > MOST_CALLS:
        calls.append([Piece(f"… and {len(called) - MOST_CALLS:,} more")])
    return Turn(message.role, said(message.content, marks, cut), calls, message.weight == 0)


def _marked(call: str, passed: Mapping[str, str]) -> list[Piece]:
    """Return a call in pieces, with what was found in what it passes marked."""
    there = sorted((text for text in passed if text in call), key=len, reverse=True)
    found = re.finditer("|".join(map(re.escape, there)), call) if there else ()
    return _pieces(call, [Mark(0, *match.span(), passed[match[0]]) for match in found])


def _call(call: dict[str, Any]) -> str:
    function = call.get("function") or {}
    arguments = function.get("arguments", "")
    try:
        shown = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in json.loads(arguments).items())
    except (ValueError, TypeError, AttributeError):
        shown = str(arguments)
    whole = f"{function.get('name', 'tool')}({shown})"
    return whole if len(whole) <= CUT_CALL else f"{whole[: CUT_CALL - 1]}…"


def _tools(row: Row) -> list[tuple[str, str]]:
    functions = [tool.get("function") or tool for tool in row.tools or ()]
    return [(str(function.get("name", "tool")), str(function.get("description") or "")) for function in functions]


def said(text: str, marks: Sequence[Mark] = (), cut: int = CUT) -> Said:
    """Return a text as it is shown, with its marks, cut where it is long."""
    most = MOST if cut >= CUT else MOST_TURN
    pieces = _pieces(text[:most], marks)
    shown: list[Piece] = []
    room = cut if len(text) > cut + NOT_WORTH_A_CUT else len(text)
    lines = cut // CHARACTERS_OF_A_LINE
    while pieces and room > 0 and lines > 0:
        piece = pieces.pop(0)
        end = len(piece.text) if piece.kind else _fits(piece.text, room, lines)
        shown.append(piece._replace(text=piece.text[:end]))
        if end < len(piece.text):
            pieces.insert(0, Piece(piece.text[end:]))
            break
        room, lines = room - end, lines - piece.text.count("\n")
    length = sum(len(piece.text) for piece in shown)
    return Said(shown, pieces, len(text) - length, max(0, len(text) - most))


def _fits(text: str, room: int, lines: int) -> int:
    """Return how much of a text is shown: so many characters and lines at most, and no half word if that can be had."""
    parts = text.split("\n", lines)
    end = len(text) - (len(parts[lines]) if len(parts) > lines else 0)
    if end <= room:
        return end
    space = text.rfind(" ", max(0, room - LONGEST_WORD), room)
    return space + 1 if space >= 0 else room


def _pieces(text: str, marks: Sequence[Mark]) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    for mark in sorted(marks, key=lambda each: (each.start, -each.end)):
        if at <= mark.start < mark.end <= len(text):
            pieces += [
                Piece(text[at : mark.start]),
                Piece(text[mark.start : mark.end], mark.kind, TITLES.get(mark.kind, mark.kind.lower())),
            ]
            at = mark.end
    return [piece for piece in [*pieces, Piece(text[at:])] if piece.text]


def notes_of(found: Finding, max_tokens: int) -> list[Note]:
    """Return what is to look at in a row, what matters most first."""
    troubles = [*found.troubles, *([Trouble.TOO_LONG] if found.tokens > max_tokens else [])]
    notes = [Note(_words(trouble, found, max_tokens), EXPLAINED[trouble].weight, _other(trouble, found)) for trouble in troubles]
    return sorted(notes, key=lambda note: note.tone != "bad")


def _other(trouble: Trouble, found: Finding) -> int:
    others = {
        Trouble.EXACT_DUPLICATE: found.exact, Trouble.NEAR_DUPLICATE: found.near, Trouble.OTHER_ANSWER: found.other_answer,
        Trouble.LEAK: found.leak_of, Trouble.NEAR_LEAK: found.leak_of,
    }  # fmt: skip
    other = others.get(trouble, ALONE)
    return ALONE if other == found.row else other


def _words(trouble: Trouble, found: Finding, max_tokens: int) -> str:
    other = _other(trouble, found)
    row = f"row {other + 1:,}" if other != ALONE else ""
    told = {
        Trouble.EXACT_DUPLICATE: f"copy of {row}" if row else "has copies",
        Trouble.NEAR_DUPLICATE: f"near duplicate of {row}" if row else "has near duplicates",
        Trouble.OTHER_ANSWER: f"answered otherwise in {row}" if row else "answered otherwise below",
        Trouble.LEAK: f"stands in training: {row}" if row else "stands in training",
        Trouble.NEAR_LEAK: f"nearly stands in training: {row}" if row else "nearly stands in training",
        Trouble.PII: counted(found), Trouble.TOO_LONG: f"{found.tokens:,} tokens, of which {max_tokens:,} fit",
        Trouble.RARE_LABEL: f"rare label {found.label[:40]}" if found.label else "rare label",
        Trouble.OTHER_LANGUAGE: f"other language ({found.language})" if found.language else "other language",
        Trouble.PLACEHOLDER: "unfilled placeholder", Trouble.SECRET: "secret", Trouble.LENGTH_OUTLIER: "unusual length",
        Trouble.MOJIBAKE: "garbled characters", Trouble.CONTROL_TOKENS: "control tokens in the text",
    }  # fmt: skip
    return told.get(trouble, EXPLAINED[trouble].title.lower())


def counted(found: Finding) -> str:
    """Return what personal data a row holds: 2 names, 1 e-mail."""
    kinds = Counter(mark.kind for mark in found.marks if mark.kind in SHORT)
    return ", ".join(f"{many} {SHORT[kind][many > 1]}" for kind, many in kinds.most_common()) or "personal data"
