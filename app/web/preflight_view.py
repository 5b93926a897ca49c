"""A preflight as it is shown: rows token by token, what they come to in words, and each fault with what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from app.db.session import pause
from app.domain.errors import Invalid, StudioError
from app.domain.specs import PRESETS, Preset
from app.web import words
from app.web.fix_view import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.db import Dataset
    from app.domain.preflight import Fault, Piece, Preflight, PreflightFix, ShownRow
    from app.domain.specs import TrainingSettings
    from app.web.visit import Visit

HEAD, TAIL = 220, 120
"""So many tokens of a row's beginning and end are shown; a page of nine whole rows would weigh too much."""
ORDER = ("random", "longest", "shortest")
"""What is like the others comes first."""
WHY = {"longest": "longest", "shortest": "shortest", "random": "by lot"}


class Rows(NamedTuple):
    """Rows as they are looked at: what mends them names them by numbers, which are others once the rows have changed."""

    dataset_id: str
    version_id: str | None


class Run(NamedTuple):
    """Tokens that follow each other and are alike: learnt, a mark of the template, or only read."""

    kind: str
    tokens: list[str]


@dataclass(frozen=True)
class Line:
    """A row as it is shown; `runs` may hold a gap, of kind `gap`, and the cut, of kind `cut`."""

    row: ShownRow
    why: str
    runs: list[Run]


class Mend(NamedTuple):
    """What mends a fault, and where it leads."""

    label: str
    help: str
    href: str


@dataclass(frozen=True)
class Card:
    """A fault with what mends it."""

    fault: Fault
    mends: list[Mend]


@dataclass(frozen=True)
class Seen:
    """What a look has found, or why there was none."""

    preflight: Preflight | None
    lines: list[Line]
    cards: list[Card]
    sentence: str
    counts: list[tuple[str, str]]
    refused: str = ""
    shared: str = ""


def look(visit: Visit, dataset: Dataset, base: str, settings: TrainingSettings, values: Mapping[str, str]) -> Seen:
    """Return what a run would learn; in words why it cannot be told."""
    rows = Rows(dataset.id, dataset.version_id)
    # It may take seconds, in which nobody else waits for the database.
    pause(visit.session)
    try:
        found = visit.studio.preflights.look(visit.identity, rows.dataset_id, base, settings, all_train="eval_dataset_id" in values)
    except StudioError as error:
        if error.status >= 500 and error.code is None:  # noqa: PLR2004 - nobody foresaw it
            raise
        return Seen(None, [], [], "", [], error.message)
    return seen(found, rows, values)


def seen(found: Preflight, rows: Rows, values: Mapping[str, str]) -> Seen:
    """Return a preflight as it is shown; `values` are the new run's fields so far."""
    lines, cards = [line_of(row) for row in found.rows], cards_of(found.faults, rows, values)
    return Seen(found, lines, cards, sentence_of(found), counts_of(found), shared=shared_of(found))


def cards_of(faults: Sequence[Fault], rows: Rows, values: Mapping[str, str]) -> list[Card]:
    """Return faults as cards, those that stop a launch first."""
    ordered = sorted(faults, key=lambda fault: not fault.blocking)
    return [Card(fault, [Mend(fix.label, fix.help, _address(fix, rows, values)) for fix in fault.fixes]) for fault in ordered]


def _address(fix: PreflightFix, rows: Rows, values: Mapping[str, str]) -> str:
    if fix.data is not None:
        version = {"version": rows.version_id} if rows.version_id else {}
        return f"/datasets/{rows.dataset_id}/fix?{urlencode(fields_of(fix.data) | _number(fix.data) | version)}"
    changed = {name: str(value) for name, value in fix.settings.items()}
    return f"/runs/new?{urlencode(dict(values) | {'dataset_id': rows.dataset_id} | changed)}"


def _number(fix: Any) -> dict[str, str]:
    return {name: str(getattr(fix, name)) for name in ("most", "tokens") if hasattr(fix, name)}


def line_of(row: ShownRow) -> Line:
    """Return a row as it is shown."""
    return Line(row, WHY[row.why], list(_runs(row)))


def _runs(row: ShownRow) -> Iterator[Run]:
    """Yield a row's tokens in runs; its middle is left out where it is long."""
    pieces, gap = row.pieces, row.skipped
    if len(pieces) > HEAD + TAIL + 1:
        left_out = len(pieces) - HEAD - TAIL
        known = gap[1] if gap else 0
        pieces, gap = [*pieces[:HEAD], *pieces[-TAIL:]], (HEAD, left_out + known)
    places = _places(len(pieces), gap)
    kinds = [_kind(piece, place, row.cut) for piece, place in zip(pieces, places, strict=True)]
    at = 0
    for kind, group in groupby(kinds):
        many = len(list(group))
        start = at
        while at < start + many:
            end = min(start + many, gap[0]) if gap and at < gap[0] else start + many
            yield Run(kind, [piece.text for piece in pieces[at:end]])
            at = end
            if gap and at == gap[0]:
                yield Run("gap", [f"… {words.plural(gap[1], 'token')} more …"])


def _places(shown: int, gap: tuple[int, int] | None) -> list[int]:
    """Return each shown token's place in its row."""
    return [place if gap is None or place < gap[0] else place + gap[1] for place in range(shown)]


def _kind(piece: Piece, place: int, cut: int | None) -> str:
    if cut is not None and place >= cut:
        return "cut"
    name = "learnt" if piece.trained else "read"
    return f"{name} special" if piece.special else name


def sentence_of(found: Preflight) -> str:
    """Return what the model would learn, in a sentence."""
    counts, learnt = found.counts, found.answers.sum if found.answers else 0
    if not learnt:
        return "The model would learn nothing."
    rows = counts.rows - counts.silent - counts.answers_cut - counts.refused
    of_them = "" if rows == counts.rows else f"{rows:,} of "
    is_part = counts.rows < counts.total
    where = f"{of_them}the {words.plural(counts.rows, 'row')} that were looked at" if is_part else words.plural(rows, "row")
    ends = f"; each ends with {end_of(found)}" if counts.ends_learnt >= rows and end_of(found) else ""
    in_all = f" There are {counts.total:,} in all." if is_part else ""
    return f"The model would learn {words.plural(learnt, 'token')} in {where}{ends}.{in_all}"


def shared_of(found: Preflight) -> str:
    """Return which share of the tokens rows begin with alike, in a sentence; nothing where that is hardly any."""
    share = found.shared_prefix.steps
    if share < words.WORTH_TELLING:
        return ""
    return f"{share:.0%} of this dataset's tokens are shared; where the base allows it they are computed once.".replace("%", " %")


def end_of(found: Preflight) -> str:
    """Return the mark that ends a turn, as it is learnt."""
    for row in found.rows:
        marks = [piece.text for piece in row.pieces if piece.trained and piece.special]
        if marks:
            return marks[-1].strip()
    return ""


def counts_of(found: Preflight) -> list[tuple[str, str]]:
    """Return the figures of a preflight, as names and values."""
    counts = found.counts
    shared = f"{words.percent(found.shared_prefix.steps)} in a step, {words.percent(found.shared_prefix.all)} in all"
    told = [
        ("Trained tokens", words.percent(found.trained_share)), ("Steps a pass", words.count(found.steps_per_epoch)),
        ("Shared beginning", shared),
        ("Cut at the end", f"{words.plural(counts.truncated, 'row')} beyond {found.max_length:,} tokens"),
        ("End of turn learnt", f"{counts.ends_learnt:,} of {counts.rows:,} rows"),
    ]  # fmt: skip
    wrong = {
        "Answers cut away": counts.answers_cut, "Nothing to learn": counts.silent, "Doubled beginning": counts.doubled_bos,
        "Control tokens": counts.control_tokens, "Refused by the template": counts.refused,
    }  # fmt: skip
    return told + [(name, words.plural(many, "row")) for name, many in wrong.items() if many]


class Chosen(NamedTuple):
    """What a look is for: a base, a preset, and how long rows may be."""

    base_model: str
    preset: Preset
    max_length: str
    chat_template: str

    @property
    def settings(self) -> dict[str, Any]:
        """What of it is a setting."""
        given = {"max_length": self.max_length.strip(), "chat_template": self.chat_template}
        return {name: value for name, value in given.items() if value}

    @property
    def values(self) -> dict[str, str]:
        """The fields of a new run that is like this."""
        return {"base_model": self.base_model, "preset": str(self.preset), **self.settings}


def chosen(fields: Mapping[str, str], starter: str) -> Chosen:
    """Return what an address asks for."""
    preset = fields.get("preset", "")
    if preset and preset not in set(PRESETS):
        raise Invalid("Choose one of the presets.", param="preset")
    return Chosen(
        fields.get("base_model", "").strip() or starter, Preset(preset) if preset else Preset.BALANCED, fields.get("max_length", ""),
        fields.get("chat_template", ""),
    )  # fmt: skip
