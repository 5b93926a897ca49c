"""The new-run form: what was typed, what it would train, and what is still missing."""

from __future__ import annotations

import hashlib
import types
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from app.domain.datasets import DatasetStatus
from app.domain.differences import differences, words_for
from app.domain.errors import Invalid, NotFound, StudioError
from app.domain.labels import split_tags
from app.domain.queueing import Priority, priority_of
from app.domain.specs import PRESETS, STARTER, Preset, RunRequest, TrainingSettings, setting_label, settings_for
from app.services.clones import dataset_of, own_settings, preset_of
from app.services.lineage import comparable, described
from app.web import preflight_view
from app.web.forms import Form, messages_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.db import Dataset, DatasetVersion, Run
    from app.domain.base_models import BaseModel
    from app.domain.differences import Difference
    from app.domain.specs import TrainingSpec
    from app.web.preflight_view import Seen
    from app.web.visit import Visit

ALL_FIELDS = (
    "base_model",
    "dataset_id",
    "name",
    "eval_dataset_id",
    "tags",
    "preset",
    "priority",
    *TrainingSettings.model_fields,
    "cloned_from",
)
"""Every field in the order of the page."""
KNOWN = frozenset(ALL_FIELDS)
PRESET_WORDS = {
    Preset.QUICK: "The soonest useful model: fewest passes over the rows.",
    Preset.BALANCED: "What suits most: enough passes to learn, checks on the way.",
    Preset.THOROUGH: "More passes and a larger adapter, for when the answer must be exact.",
}


@dataclass(frozen=True)
class Setting:
    """One field of "All settings"."""

    name: str
    label: str
    help: str
    placeholder: str
    is_by_preset: bool
    options: tuple[str, ...]
    is_text: bool
    """Of several lines."""


@dataclass(frozen=True)
class Missing:
    """What stands between the form and a start: the button says it and leads there."""

    text: str
    href: str


@dataclass(frozen=True)
class Draft:
    """A run that has not been launched."""

    form: Form
    preset: Preset
    datasets: Sequence[Dataset]
    request: RunRequest | None = None
    base: BaseModel | None = None
    dataset: Dataset | None = None
    spec: TrainingSpec | None = None
    training_rows: int = 0
    missing: Missing | None = None
    changed: list[str] = field(default_factory=list)
    held_out: Dataset | None = None
    origin: Run | None = None

    @property
    def differences(self) -> list[Difference]:
        """What was changed so far against the run this one takes up."""
        if not (self.origin and self.spec and self.dataset and self.dataset.version):
            return []
        held_out = self.held_out.version if self.held_out else None
        planned = described(self.spec, self.dataset.version, held_out, self.spec.settings.total_steps(self.training_rows))
        return differences(comparable(self.origin), planned)

    @property
    def gone(self) -> list[str]:
        """What of the run this one takes up cannot be had any more, in words."""
        versions = [self.origin.version, self.origin.eval_version] if self.origin else []
        return [told for version in versions if version and (told := _changed_since(version))]

    @property
    def total_steps(self) -> int | None:
        """How many steps it would take."""
        return self.spec.settings.total_steps(self.training_rows) if self.spec else None

    @property
    def spec_yaml(self) -> str:
        """The run as a file for `hone train`."""
        return yaml.safe_dump(self.spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True) if self.spec else ""


def _changed_since(version: DatasetVersion) -> str:
    if version.dataset.deleted_at:
        return f"The dataset {version.dataset.name} was deleted since. Choose another one."
    if version.id == version.dataset.version_id:
        return ""
    return f"The dataset {version.dataset.name} has changed since: the new run learns from what it holds now."


def all_settings() -> list[Setting]:
    """Return every setting with its help, as the one model of settings has it."""
    return [
        Setting(
            name,
            setting_label(name),
            info.description or "",
            _placeholder(name, info.default),
            _is_by_preset(name),
            _options(info.annotation),
            get_origin(info.annotation) is tuple,
        )
        for name, info in TrainingSettings.model_fields.items()
    ]


def _is_by_preset(name: str) -> bool:
    return any(name in preset for preset in PRESETS.values())


def _placeholder(name: str, default: Any) -> str:
    if _is_by_preset(name):
        return ", ".join(f"{preset} {settings[name]}" for preset, settings in PRESETS.items())
    return words_for(name, default)


def _options(annotation: Any) -> tuple[str, ...]:
    """Return the choices of a closed set; none for numbers, even those that may also be `auto`."""
    if annotation is bool:
        return ("yes", "no")
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    parts = get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else ()
    return tuple(option for part in parts for option in _options(part)) if all(get_origin(p) is Literal for p in parts) else ()


def draft(visit: Visit, given: Mapping[str, str]) -> Draft:
    """Return what the form's fields come to, with errors beside fields and the next missing thing."""
    datasets = visit.datasets.newest(visit.identity, limit=200).items
    values = {name: given[name].strip() for name in ALL_FIELDS if given.get(name, "").strip()}
    ready = [dataset for dataset in datasets if dataset.status == DatasetStatus.READY]
    origin = _origin(visit, values)
    values.setdefault("base_model", STARTER)
    if ready and not (origin and origin.version.dataset.deleted_at):
        values.setdefault("dataset_id", ready[0].id)
    preset = Preset(values["preset"]) if values.get("preset") in set(Preset) else Preset.BALANCED
    values["preset"] = preset
    errors: dict[str, str] = {}
    picked = next((dataset for dataset in ready if dataset.id == values.get("dataset_id")), None)
    base = _find_base(visit, values["base_model"], errors)
    settings = {name: values[name] for name in TrainingSettings.model_fields if name in values}
    try:
        settings_for(preset, settings)
    except ValidationError as error:
        errors |= messages_of(error)
    form = Form(values, errors)
    missing = _missing(form, datasets, picked)
    if missing or base is None or picked is None:
        return Draft(form, preset, datasets, None, base, picked, missing=missing, changed=sorted(settings), origin=origin)
    return _planned(visit, Draft(form, preset, datasets, None, base, picked, changed=sorted(settings), origin=origin), settings)


def _planned(visit: Visit, found: Draft, settings: dict[str, str]) -> Draft:
    """Return the draft with its spec, its number of rows and the request that would launch it."""
    values = found.form.values
    if found.base is None or found.dataset is None:
        return found
    try:
        request = RunRequest(
            name=values.get("name") or f"{found.dataset.name} {found.preset}", base_model=values["base_model"], dataset_id=found.dataset.id,
            eval_dataset_id=values.get("eval_dataset_id"), preset=found.preset, settings=settings,
            tags=split_tags(values.get("tags", "")), priority=values.get("priority") or Priority.NORMAL,
            cloned_from=found.origin.id if found.origin else None,
        )  # fmt: skip
        held_out = visit.datasets.get(visit.identity, request.eval_dataset_id) if request.eval_dataset_id else None
        spec, rows = visit.runs.plan(request, found.base, found.dataset, held_out)
    except ValidationError as error:
        form = Form(values, found.form.errors | messages_of(error))
        return replace(found, form=form, missing=_missing(form, found.datasets, found.dataset), changed=[])
    except StudioError as error:
        return replace(found, form=found.form.refused(error, KNOWN), missing=Missing(error.message, "#run-form"), changed=[])
    return replace(found, request=request, spec=spec, training_rows=rows, held_out=held_out)


def _origin(visit: Visit, values: dict[str, str]) -> Run | None:
    """Return the run that this one takes up; one that was deleted meanwhile is forgotten."""
    try:
        return visit.runs.get(visit.identity, values["cloned_from"]) if "cloned_from" in values else None
    except NotFound:
        del values["cloned_from"]
        return None


def _find_base(visit: Visit, name: str, errors: dict[str, str]) -> BaseModel | None:
    try:
        return visit.studio.bases.find(name)
    except Invalid as error:
        errors["base_model"] = error.message
        return None


def _missing(form: Form, datasets: Sequence[Dataset], chosen: Dataset | None) -> Missing | None:
    """Return the next missing thing, in the order a person would see to it."""
    if chosen is None:
        return _missing_data(datasets)
    for name in ALL_FIELDS:
        if name in form.errors:
            return Missing(f"Mend {field_label(name).lower()}", f"#{name}")
    return Missing(form.errors[""], "#run-form") if "" in form.errors else None


def field_label(name: str) -> str:
    """Return what a field is called on the page."""
    special = {"base_model": "The base model", "dataset_id": "The dataset", "eval_dataset_id": "The held-out dataset", "name": "The name"}
    return special.get(name) or setting_label(name)


def _missing_data(datasets: Sequence[Dataset]) -> Missing:
    for dataset in datasets:
        if dataset.status == DatasetStatus.READY:
            return Missing("Choose a dataset", "#dataset_id")
    for dataset in datasets:
        if dataset.status == DatasetStatus.NEEDS_MAPPING:
            return Missing(f"Map the columns of {dataset.name}", f"/datasets/{dataset.id}")
        if dataset.status == DatasetStatus.IMPORTING:
            return Missing(f"{dataset.name} is still being read", f"/datasets/{dataset.id}")
    return Missing("Upload a file of examples", "/datasets")


LOOKED_AT = ("max_length", "batch_size", "seed", "chat_template")
"""The settings by which what is learnt differs."""


def look(visit: Visit, draft: Draft) -> Seen | None:
    """Return what the run would learn; None where the form is not filled in yet."""
    if draft.spec is None or draft.base is None or draft.dataset is None:
        return None
    return preflight_view.look(visit, draft.dataset, draft.base.name, draft.spec.settings, draft.form.values)


def look_key(draft: Draft) -> str:
    """Return what differs when it is to be looked at again: a part of the place where it is shown."""
    if draft.spec is None or draft.base is None or draft.dataset is None:
        return ""
    chosen = [draft.base.name, draft.dataset.version_id, draft.form.values.get("eval_dataset_id")]
    return hashlib.sha256(repr([*chosen, *(getattr(draft.spec.settings, name) for name in LOOKED_AT)]).encode()).hexdigest()[:12]


def values_like(visit: Visit, run: Run) -> dict[str, str]:
    """Return the form's fields for a new run like an earlier one: only what differs from its preset is filled in."""
    differing = own_settings(run, visit.studio.bases)
    return {name: words_for(name, value) for name, value in differing.items()} | {
        "name": visit.runs.free_name(visit.identity, run.name), "base_model": run.base_model, "preset": preset_of(run),
        "cloned_from": run.id, "priority": priority_of(run.priority) if run.priority else "",
        "tags": ", ".join(run.tags), "dataset_id": dataset_of(run.version) or "", "eval_dataset_id": dataset_of(run.eval_version) or "",
    }  # fmt: skip
