"""A dataset as its pages show it: what was found, and the form that maps columns to roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.datasets import DatasetStatus, ImportReport, Mapping
from app.web import looks
from app.web.forms import Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db import Dataset
    from app.domain.datasets import Row
    from app.web.looks import Look

ROLES = (("", "not used"), ("user", "question (user)"), ("assistant", "answer (assistant)"), ("system", "instruction (system)"))
WORDS = {role: word for role, word in ROLES if role}
FORMATS = {
    "chat": "chat messages", "prompt_completion": "prompt and completion", "alpaca": "Alpaca", "sharegpt": "ShareGPT", "table": "table",
}  # fmt: skip
ONE_TURN = {("user", "assistant"), ("system", "user", "assistant")}


@dataclass(frozen=True)
class Line:
    """A dataset in a list."""

    dataset: Dataset

    @property
    def look(self) -> Look:
        """Its state as shown."""
        return looks.dataset_look(self.dataset.status)

    @property
    def report(self) -> ImportReport | None:
        """What reading the file found, once it was read."""
        return ImportReport.model_validate(self.dataset.report) if self.dataset.report else None

    @property
    def format(self) -> str:
        """The shape of the file, in words."""
        return FORMATS.get(self.dataset.format or "", "–")


def shared_prompt(rows: Sequence[Row]) -> str | None:
    """Return the system prompt that all of these conversations share, if each is one question and one answer; None for any other shape."""
    shapes = {tuple(message.role for message in row.messages) for row in rows}
    prompts = {message.content for row in rows for message in row.messages if message.role == "system"}
    return (prompts.pop() if prompts else "") if shapes <= ONE_TURN and len(shapes) == 1 and len(prompts) <= 1 else None


def columns_of(dataset: Dataset) -> list[str]:
    """Return the columns a person can map."""
    report = Line(dataset).report
    return report.columns if report else []


def can_map(dataset: Dataset) -> bool:
    """Return whether columns or system prompt may still be changed: until a run has used the rows."""
    frozen = dataset.version is not None and dataset.version.frozen_at is not None
    return dataset.status != DatasetStatus.IMPORTING and not frozen and bool(dataset.files) and all(file.upload for file in dataset.files)


def mapping_form(dataset: Dataset) -> Form:
    """Return the mapping form as it stands: what was chosen before, else what the columns' names suggest."""
    report = Line(dataset).report
    chosen = Mapping.model_validate(dataset.mapping) if dataset.mapping else report.suggested if report else None
    values = {"system": dataset.system or ""}
    roles = {column: role for role, column in chosen.model_dump().items() if column} if chosen else {}
    values |= {f"role-{place}": roles.get(column, "") for place, column in enumerate(columns_of(dataset))}
    return Form(values)


def mapping_from(columns: Sequence[str], fields: dict[str, str]) -> tuple[Mapping | None, Form]:
    """Return the mapping a form asks for (None: only the system prompt), and the form with what is wrong, in the menus' own words."""
    chosen: dict[str, str] = {}
    errors: dict[str, str] = {}
    for place, column in enumerate(columns):
        role = fields.get(f"role-{place}", "")
        if role and role not in WORDS:
            errors[f"role-{place}"] = "Choose one of the menu."
        elif role in chosen:
            errors[f"role-{place}"] = f"{chosen[role]} is the {WORDS[role]} already. Choose one of the two."
        elif role:
            chosen[role] = column
    if not any(name.startswith("role-") for name in fields):
        return None, Form(fields)
    missing = [WORDS[role] for role in ("user", "assistant") if role not in chosen]
    general = f"Say which column is the {' and which the '.join(missing)}." if missing else ""
    if errors or general:
        return None, Form(fields, errors, general)
    return Mapping(**chosen), Form(fields)
