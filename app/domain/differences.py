"""What differs between runs, in words: one list for lineage, for cloning and for comparing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.domain.specs import EVALUATIONS, NEWER, PRESETS, Preset, TrainingSettings, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MADE_OF = {
    "base_model": "base model", "dataset": "dataset", "rows": "rows of the dataset", "eval_dataset": "held-out rows", "method": "method",
}  # fmt: skip
"""What a run is made of beside its settings, in words; `rows` is the beginning of their hash and tells two datasets of one name apart."""
EMPTY = {"eval_dataset": "a tenth of the dataset", "max_steps": "no limit", "lora_plus": "off"}
"""What it means when nothing is said."""


@dataclass(frozen=True)
class Difference:
    """One thing that two runs do not share; `before` and `after` are words for people."""

    name: str
    label: str
    before: str
    after: str


@dataclass(frozen=True)
class DifferingRow:
    """One thing that several runs do not all share, with each run's words for it."""

    name: str
    label: str
    values: tuple[str, ...]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return what two specs (as stored with runs) do not share, in the order of a spec.

    What merely follows from another setting (alpha from the rank, the checks from the number of steps) is left out; for the checks both
    need a `total_steps` beside the keys of a spec.
    """
    return [Difference(row.name, row.label, *row.values) for row in differing_rows([before, after])]


def told_rows(specs: Sequence[Mapping[str, Any]]) -> list[DifferingRow]:
    """Return every part of several specs, shared or not, with each one's words for it."""
    told = [_told(spec) for spec in specs]
    names = list(dict.fromkeys([*MADE_OF, *TrainingSettings.model_fields, *(name for each in told for name in each)]))
    return [DifferingRow(name, label_of(name), tuple(each.get(name, "–") for each in told)) for name in names]


def differing_rows(specs: Sequence[Mapping[str, Any]]) -> list[DifferingRow]:
    """Return what several specs do not all share."""
    rows = told_rows(specs)
    differing = {row.name: row for row in rows if len(set(row.values)) > 1 and not all(_follows(row.name, spec) for spec in specs)}
    if "dataset" in differing:
        differing.pop("rows", None)
    return list(differing.values())


def label_of(name: str) -> str:
    """Return what people call a part of a spec."""
    known = TrainingSettings.model_fields.get(name)
    return MADE_OF.get(name) or (known.title if known else None) or name.replace("_", " ")


def chosen(settings: Mapping[str, Any], preset: Preset | None, *, total_steps: int, parameters: int | None) -> dict[str, Any]:
    """Return those of a run's settings that its preset, or its size, would not have decided in the same way."""
    tuning = {"tuning": settings.get("tuning", TrainingSettings().tuning)}  # it decides the learning rate, and is itself somebody's choice
    decided = settings_for(preset, tuning).filled_in(training_rows=1, parameters=parameters)
    usual = decided.model_copy(update={"tuning": TrainingSettings().tuning}).model_dump(mode="json")
    spec, own = {"settings": settings, "total_steps": total_steps}, PRESETS[preset or Preset.BALANCED]
    left_open = {name for name in settings if name not in own and _follows(name, spec)}
    return {name: value for name, value in settings.items() if name not in left_open and value is not None and value != usual.get(name)}


def _follows(name: str, spec: Mapping[str, Any]) -> bool:
    """Return whether a setting is what it would be if nobody had chosen it."""
    settings, steps = spec.get("settings", {}), spec.get("total_steps")
    if name == "alpha":
        return bool(settings.get("alpha") == 2 * settings.get("rank", 0))
    if name == "eval_every_steps":
        return settings.get(name) == "auto" or (steps is not None and settings.get(name) == max(1, math.ceil(steps / EVALUATIONS)))
    return False


def _told(spec: Mapping[str, Any]) -> dict[str, str]:
    values = {name: spec.get(name) for name in MADE_OF} | NEWER | dict(spec.get("settings", {}))
    return {name: words_for(name, value) for name, value in values.items()}


def words_for(name: str, value: Any) -> str:
    """Return a value of a part of a spec as people read and type it."""
    if value is None:
        return EMPTY.get(name, "–")
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
