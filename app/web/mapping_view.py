"""The form that maps columns to roles: what is guessed and why, what was chosen, and the conversations that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from app.domain.datasets import Mapping
from app.domain.examples import SetAside, with_system
from app.domain.guessing import guesses
from app.domain.mapping import absent, apply, no_such_column, placeholders
from app.web.forms import Form
from app.web.rows_view import Turn, said

if TYPE_CHECKING:
    from collections.abc import Mapping as Fields
    from collections.abc import Sequence

    from app.db import Dataset

ROLES = (
    ("", "not used"), ("user", "question (user)"), ("assistant", "answer (assistant)"), ("system", "instruction (system)"),
    ("rejected", "worse answer"), ("label", "liked or not"), ("text", "text to learn whole"),
)  # fmt: skip
WORDS = {role: word for role, word in ROLES if role}
JOINED = ("user", "assistant", "system", "rejected", "text")
"""Roles whose text may be put together of several columns."""
SHOWN = 3
SURE, LIKELY = 0.9, 0.5
MAX_JOIN = 2_000


@dataclass(frozen=True)
class Column:
    """A column of the table: the field that chooses its role, and how sure the guess is."""

    field: str
    name: str
    guess: str


@dataclass(frozen=True)
class Tried:
    """What a mapping makes of a row of the sample: a conversation, or why none."""

    turns: list[Turn]
    rejected: list[Turn]
    label: bool | None
    why: str = ""


@dataclass(frozen=True)
class Mapped:
    """A filled-in form: the mapping it asks for, if it asks for one, and the form with what is wrong in it."""

    mapping: Mapping | None
    form: Form


def columns_of(dataset: Dataset) -> list[Column]:
    """Return the columns a person can map: those of a table, since other shapes say themselves who speaks."""
    is_table = bool(dataset.report) and dataset.report.get("format") in {None, "table"}
    names = dataset.report.get("columns", []) if is_table else []
    guessed = guesses(names, dataset.report.get("sample", [])) if names else {}
    said_of = {name: f"{_sureness(guess.confidence)} {WORDS.get(guess.role, guess.role)}: {guess.why}" for name, guess in guessed.items()}
    return [Column(f"role-{place}", name, said_of.get(name, "")) for place, name in enumerate(names)]


def _sureness(confidence: float) -> str:
    return "surely the" if confidence >= SURE else "probably the" if confidence >= LIKELY else "perhaps the"


def form_of(dataset: Dataset) -> Form:
    """Return the form as it stands: what was chosen before, else what was guessed."""
    suggested = (dataset.report or {}).get("suggested")
    chosen = dataset.mapping or suggested or {}
    names = {column.name: column.field for column in columns_of(dataset)}
    values = {"system": dataset.system or ""}
    for role, value in chosen.items():
        if value:
            values[names.get(value, f"join-{role}")] = role if value in names else value
    return Form(values)


def mapped_from(columns: Sequence[Column], fields: Fields[str, str]) -> Mapped:
    """Return the mapping a form asks for (None without an error: only the system prompt), with errors in the menus' own words."""
    form = Form(dict(fields))
    if not any(name.startswith("role-") for name in fields):
        return Mapped(None, form)
    chosen, errors = _chosen(columns, fields)
    missing = [] if "text" in chosen else [WORDS[role] for role in ("user", "assistant") if role not in chosen]
    # What is wrong in a field is told first: mended, it may be what is missing.
    general = f"Say which column is the {' and which the '.join(missing)}." if missing and not errors else ""
    if errors or general:
        return Mapped(None, Form(form.values, errors, general))
    try:
        return Mapped(Mapping(**chosen), form)
    except ValidationError as error:
        return Mapped(None, Form(form.values, {}, _sentence(str(error.errors()[0]["msg"]))))


def _chosen(columns: Sequence[Column], fields: Fields[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what each role is, and what is wrong by field; a role that is joined of columns goes before the menus that name it."""
    joined = {role: text for role in JOINED if (text := fields.get(f"join-{role}", "").strip())}
    names = [column.name for column in columns]
    errors = {f"join-{role}": wrong for role, text in joined.items() if (wrong := _wrong_join(text, names))}
    chosen: dict[str, str] = {}
    for column in columns:
        role = fields.get(column.field, "")
        if role and role not in WORDS:
            errors[column.field] = "Choose one of the menu."
        elif role in chosen:
            errors[column.field] = f"{chosen[role][:60]} is the {WORDS[role]} already. Choose one of the two."
        elif role and role not in joined:
            chosen[role] = column.name
    return chosen | joined, errors


def _wrong_join(text: str, names: Sequence[str]) -> str:
    if len(text) > MAX_JOIN or not placeholders(text):
        return f"Name columns in braces, in at most {MAX_JOIN:,} characters."
    unknown = absent(dict.fromkeys(names), text)
    return no_such_column(unknown[0], names).message if unknown else ""


def _sentence(message: str) -> str:
    told = message.removeprefix("Value error, ")
    return told[:1].upper() + told[1:].rstrip(".") + "."


def tried(mapping: Mapping | None, sample: Sequence[dict[str, str]], system: str) -> list[Tried]:
    """Return what a mapping makes of the first rows of the sample."""
    return [_tried(mapping, row, system) for row in sample[:SHOWN]] if mapping else []


def _tried(mapping: Mapping, row: dict[str, str], system: str) -> Tried:
    try:
        example = apply(mapping, row)
    except SetAside as error:
        return Tried([], [], None, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    turns = with_system(example.turns, system.strip() or None)
    return Tried(
        [Turn(turn.role, said(turn.content)) for turn in turns],
        [Turn(turn.role, said(turn.content)) for turn in example.rejected or ()], example.label,
    )  # fmt: skip
