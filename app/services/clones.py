"""Why a run failed, and launching it again: as it is, or with the change that mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.db.session import reading, unit_of_work
from app.domain.diagnosis import RESUMABLE, Case, Diagnosis, diagnose
from app.domain.differences import chosen
from app.domain.errors import Invalid, StudioError
from app.domain.queueing import priority_of
from app.domain.runs import RunStatus
from app.domain.specs import Preset, RunRequest, TrainingSettings

if TYPE_CHECKING:
    from app.db import DatasetVersion, Run
    from app.domain.ports import BaseModels
    from app.services.accounts import Identity
    from app.services.runs import Runs
    from app.services.studio import Studio


def needs_a_person(run: Run) -> bool:
    """Return whether a run failed, or waits for its disk."""
    return run.status == RunStatus.FAILED or (run.status in {RunStatus.PAUSED, RunStatus.STOPPED} and run.error_code in RESUMABLE)


def diagnosis_of(run: Run) -> Diagnosis | None:
    """Explain why a run failed, or waits for its disk; None for any other run."""
    if not needs_a_person(run):
        return None
    case = Case(run.error_code or "internal", run.reason, TrainingSettings(), run.base_model, run.facts, dataset_of(run.version))
    try:
        return diagnose(replace(case, settings=TrainingSettings.model_validate(run.spec.get("settings", {}))))
    except ValidationError:
        # An older version of Hone had settings that are gone; what they would be changed to cannot be told.
        return replace(diagnose(case), fixes=())


def own_settings(run: Run, models: BaseModels) -> dict[str, Any]:
    """Return the settings of a run that its preset would not have decided in the same way."""
    try:
        parameters = models.find(run.base_model).parameters
    except StudioError:
        parameters = run.facts.get("total_parameters")
    return chosen(run.spec["settings"], preset_of(run), total_steps=run.total_steps, parameters=parameters)


def preset_of(run: Run) -> Preset:
    """Return the preset a run was launched with, or the usual one."""
    return Preset(run.preset) if run.preset else Preset.BALANCED


def dataset_of(version: DatasetVersion | None) -> str | None:
    """Return the dataset of some rows, unless it was deleted."""
    return version.dataset_id if version and not version.dataset.deleted_at else None


def clone(studio: Studio, by: Identity, run_id: str, *, fix: str | None = None, name: str | None = None) -> Run:
    """Launch a run like another one, with the fix of that id from its diagnosis, in a unit of work of its own.

    The other run is read before, or the database would be locked while a launch looks at the rows.
    """
    with reading(studio.engine) as session:
        request = _like(studio.runs(session), by, run_id, fix=fix, name=name)
    with unit_of_work(studio.engine) as session:
        return studio.runs(session).launch(by, request)


def _like(runs: Runs, by: Identity, run_id: str, *, fix: str | None, name: str | None) -> RunRequest:
    origin = runs.get(by, run_id)
    dataset_id, held_out_id = dataset_of(origin.version), dataset_of(origin.eval_version)
    if dataset_id is None or (origin.eval_version and held_out_id is None):
        message = "Its dataset was deleted since. Start a new run with another one."
        raise Invalid(message, param="dataset_id", code="dataset_not_found")
    settings = own_settings(origin, runs.models) | (_fix(origin, fix) if fix else {})
    return RunRequest(
        name=name or runs.free_name(by, origin.name), base_model=origin.base_model, dataset_id=dataset_id, eval_dataset_id=held_out_id,
        preset=preset_of(origin), settings=settings, tags=origin.tags, priority=priority_of(origin.priority),
        cloned_from=origin.id,
    )  # fmt: skip


def _fix(run: Run, wanted: str) -> dict[str, Any]:
    found = diagnosis_of(run)
    for fix in found.fixes if found else ():
        if fix.id == wanted:
            return fix.settings
    message = f"This run has no fix {wanted[:40]!r}; its diagnosis names those there are."
    raise Invalid(message, param="fix", code="unknown_fix")
