"""A fix as a form: its fields in an address, what it asks for, and its preview side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from pydantic import TypeAdapter, ValidationError

from app.domain.calls import passed_in
from app.domain.errors import Invalid
from app.domain.fixes import Balance, DropLonger, Fix, Mask
from app.domain.masking import KINDS, MASKED_UNASKED
from app.domain.problems import EXPLAINED, Trouble
from app.web import words
from app.web.desk_view import Asked
from app.web.rows_view import MOST_TURNS, Note, Piece, notes_of, said, turn_by_turn
from app.web.word_diff import GONE, Comparing, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.datasets import Row
    from app.domain.fixes import Offer
    from app.services.previews import Change, Preview, Trimmed

FIX: TypeAdapter[Fix] = TypeAdapter(Fix)
TURNS_BEFORE, MOST_GONE = 2, 6
"""Turns that are shown of a row that is cut: its last question and answer, and the first of what goes."""
PLAIN = ("op", "problem", "most", "tokens", "number", "was", "text")
TITLES = {
    "drop": "Leave rows out", "keep_best": "Keep one of each group", "mask": "Mask what was found", "repair": "Repair the texts",
    "fill": "Fill the placeholders", "balance": "Keep at most so many of each label", "drop_longer": "Leave longer rows out",
    "trim_end": "Cut rows after their last answer", "mend": "Take a mended row in",
}  # fmt: skip


@dataclass(frozen=True)
class Blank:
    """A placeholder, in how many rows it is, and the text it is to get."""

    text: str
    count: int
    value: str


@dataclass(frozen=True)
class Tick:
    """A kind of personal data that can be masked."""

    kind: str
    label: str
    count: int
    is_on: bool


class Side(NamedTuple):
    """One turn of a changed row as it is and as it would be; None where it would be gone."""

    role: str
    before: list[Piece]
    after: list[Piece] | None


@dataclass(frozen=True)
class Changed:
    """A row that a fix changes, leaves out or takes in; `more` turns at its beginning are not shown, and `beyond` at its end."""

    name: str
    sides: list[Side]
    is_left_out: bool = False
    notes: list[Note] = field(default_factory=list)
    more: int = 0
    beyond: int = 0


def fix_from(fields: Mapping[str, str]) -> Fix:
    """Return the fix that a form or an address asks for; Invalid for one that makes no sense."""
    raw: dict[str, Any] = {name: fields[name] for name in PLAIN if fields.get(name)}
    if fields.get("rows"):
        raw["rows"] = fields["rows"].split(",")
    if raw.get("op") == "mask":
        raw["keep_map"] = bool(fields.get("keep_map"))
        if fields.get("choose") and raw.get("problem") == Trouble.PII:
            raw["kinds"] = [kind for kind in KINDS if fields.get(f"kind-{kind}")]
    if raw.get("op") == "fill":
        raw["values"] = {
            fields[f"blank-{n}"]: fields[f"fill-{n}"] for n in range(100) if fields.get(f"blank-{n}") and fields.get(f"fill-{n}")
        }
    try:
        return FIX.validate_python(raw)
    except ValidationError as error:
        raise Invalid(_in_words(raw, error), param="fix", code="invalid_fix") from error


def _in_words(raw: Mapping[str, Any], error: ValidationError) -> str:
    if raw.get("op") == "fill" and not raw.get("values"):
        return "Give at least one placeholder a text."
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"This fix cannot be read: {place or 'op'}: {first['msg']}."


def fields_of(fix: Fix) -> dict[str, str]:
    """Return a fix as the fields of a form; what a person is still asked for is left out."""
    given = fix.model_dump(mode="json", exclude_none=True)
    plain = {name: str(given[name]) for name in PLAIN if name in given and name not in {"most", "tokens"}}
    rows = given.get("rows")
    return plain | ({"rows": ",".join(map(str, rows))} if rows else {})


def address_of(here: str, offer: Offer, asked: Asked) -> str:
    """Return where the preview of an offered fix is."""
    fix = offer.fix
    more: dict[str, Any] = {"max_tokens": asked.max_tokens} if asked.problem is Trouble.TOO_LONG else {}
    if isinstance(fix, Mask) and fix.keep_map:
        more["keep_map"] = "1"
    if isinstance(fix, Balance):
        more["most"] = fix.most
    if isinstance(fix, DropLonger):
        more["tokens"] = fix.tokens
    return f"{here}/fix?{urlencode(fields_of(fix) | more)}"


def blanks_of(fields: Mapping[str, str], summary: Mapping[str, Any]) -> list[Blank]:
    """Return the placeholders that were found, with the texts given so far."""
    given = {fields[f"blank-{n}"]: fields.get(f"fill-{n}", "") for n in range(100) if fields.get(f"blank-{n}")}
    return [Blank(str(text), count, given.get(str(text), "")) for text, count in summary.get("placeholders") or ()]


def ticks_of(fix: Fix | None, summary: Mapping[str, Any]) -> list[Tick]:
    """Return the kinds of personal data that were found, ticked as they are to be masked."""
    wanted = frozenset(fix.kinds) if isinstance(fix, Mask) and fix.kinds is not None else MASKED_UNASKED
    return [Tick(kind, KINDS.get(kind, kind), count, kind in wanted) for kind, count in (summary.get("pii") or {}).items()]


def title_of(fix: Fix | None, op: str) -> str:
    """Return what a fix does, as a heading."""
    problem = getattr(fix, "problem", None)
    title = TITLES.get(fix.op if fix else op, "Change rows")
    return f"{title}: {EXPLAINED[problem].title[0].lower()}{EXPLAINED[problem].title[1:]}" if problem else title


def told(preview: Preview, total: int) -> str:
    """Return what a fix would do in a sentence."""
    if preview.does_nothing:
        return "Nothing would change."
    most = "" if preview.is_exact else "up to "
    parts = [f"{words.plural(preview.dropped, 'row')} would be left out"] if preview.dropped else []
    parts += [f"{most}{words.plural(preview.changed, 'row')} would change"] if preview.changed else []
    parts += [f"{most}{words.plural(preview.added, 'row')} would be taken in"] if preview.added else []
    left = total - preview.dropped + preview.added
    rest = f" {words.plural(left, 'row')} would be left." if preview.dropped else ""
    return f"{', '.join(parts)[0].upper()}{', '.join(parts)[1:]}.{rest}"


def shown_of(preview: Preview, max_tokens: int, comparing: Comparing) -> list[Changed]:
    """Return the rows of a preview as they are shown."""
    changed = [changed_of(change, max_tokens, comparing) for change in preview.changes]
    return changed + [trimmed_of(trimmed) for trimmed in preview.trimmed]


def changed_of(change: Change, max_tokens: int, comparing: Comparing) -> Changed:
    """Return a row of a preview as it is shown."""
    row, finding, after = change
    if after is None:
        turns, marks = _turns(row), turn_by_turn(finding.marks)
        sides = [Side(role, said(text, marks.get(turn, ())).shown, []) for turn, role, text in turns[:MOST_TURNS]]
        beyond = len(turns) - len(sides)
        return Changed(f"{row.row + 1:,}", sides, is_left_out=True, notes=notes_of(finding, max_tokens), beyond=beyond)
    pairs = ((role, old, new) for (_, role, old), (_, _, new) in zip(_turns(row), _turns(after), strict=False) if old != new)
    sides = [Side(role, *map(shortened, comparing.differences(old, new))) for role, old, new in islice(pairs, MOST_TURNS)]
    return Changed(f"{row.row + 1:,}", sides, beyond=sum(1 for _ in pairs))


def trimmed_of(trimmed: Trimmed) -> Changed:
    """Return a row that would be cut behind its last answer: that, and what goes."""
    row, found = trimmed
    first = max(0, found.kept - TURNS_BEFORE)
    sides = [
        _turn_of(role, text, is_kept=place < found.kept)
        for place, (role, text) in enumerate(found.turns[: found.kept + MOST_GONE])
        if place >= first
    ]
    return Changed(f"line {row.line:,}", sides, more=first)


def _turn_of(role: str, text: str, *, is_kept: bool) -> Side:
    shown = shortened([Piece(text)])
    return Side(role, shown, shown) if is_kept else Side(role, [Piece(piece.text, GONE) for piece in shown], None)


def _turns(row: Row) -> list[tuple[int, str, str]]:
    said = [
        *((message.role, message.content) for message in row.messages),
        *(("worse answer", each.content) for each in row.rejected or ()),
    ]
    return [(turn, role, text) for turn, (role, text) in enumerate([*said, *(("call", value.text) for value in passed_in(row))])]
