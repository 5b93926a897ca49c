"""What one can do with runs: launch, look, stop, pause, resume, cancel."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any

import yaml
from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from app.db import DatasetVersion, EventRow, Run
from app.db.audit import CHECKPOINTS_DELETED, note
from app.db.base import utc_now
from app.db.checkpoints import let_go, still_there
from app.db.runs import forget_model
from app.db.session import after_commit
from app.domain.datasets import DatasetStatus
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.runs import ENDED, RunStatus, after_request
from app.domain.specs import RunRequest, TrainingSpec, parse_settings
from app.services.disk import Disk
from app.services.estimates import Estimates, as_seen, work_of
from app.services.paging import Page, newest_first
from app.services.predictions import foretell
from app.services.run_filter import EVERYTHING, RunFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from app.db import Dataset
    from app.domain.architectures import Architecture
    from app.domain.base_models import BaseModel
    from app.domain.labels import RunChange
    from app.domain.ports import BaseModels, Queue
    from app.domain.preflight import Preflight
    from app.services.accounts import Identity
    from app.services.datasets import Datasets
    from app.services.preflight import Preflights

    Measures = Callable[[Identity, str], Architecture | None]

TRAINING_QUEUE = "gpu"


class Runs:
    """The runs of a project."""

    def __init__(
        self, session: Session, queue: Queue, datasets: Datasets, models: BaseModels, preflights: Preflights | None = None,
        *, measures: Measures | None = None,
    ) -> None:  # fmt: skip
        """Do without a look at the rows, or an estimate, where there are no `preflights` or nobody knows what bases measure."""
        self.session, self.queue, self.datasets, self.models, self.preflights = session, queue, datasets, models, preflights
        self._measures = measures

    def launch(self, by: Identity, request: RunRequest) -> Run:
        """Check a request whole, freeze its rows and queue the run; nothing is stored when anything is wrong."""
        base = self.models.find(request.base_model)
        # First, since it may take a moment, in which nobody has to wait for what this locks.
        looked = self.preflights.require(by, request) if self.preflights else None
        dataset = self._ready(by, request.dataset_id, "dataset_id")
        held_out = self._ready(by, request.eval_dataset_id, "eval_dataset_id") if request.eval_dataset_id else None
        spec, training_rows = self.plan(request, base, dataset, held_out)
        run = Run(
            project_id=by.project_id, created_by=by.user_id, name=request.name, notes=request.notes, tags=request.tags,
            cloned_from=self._origin(by, request.cloned_from), method=request.method, preset=request.preset,
            base_model=base.name, spec=spec.model_dump(mode="json"), version=dataset.version,
            eval_version=held_out.version if held_out else None, total_steps=spec.settings.total_steps(training_rows),
            queue=TRAINING_QUEUE, needs_gpu=spec.settings.device == "gpu", priority=request.priority.number,
            estimate=self._foretold(by, spec, dataset.version, training_rows, looked) if dataset.version else {},
        )  # fmt: skip
        self.session.add(run)
        for version in filter(None, [run.version, run.eval_version]):
            version.frozen_at = version.frozen_at or utc_now()
        self.session.flush()
        note(self.session, by.project_id, by.user_id, "run.launched", run.id)
        self._tell(run, "queued", f"{by.user_name} launched the run.")
        after_commit(self.session, lambda: self.queue.ring(TRAINING_QUEUE))
        return run

    def plan(self, request: RunRequest, base: BaseModel, dataset: Dataset, held_out: Dataset | None) -> tuple[TrainingSpec, int]:
        """Return the spec with every default filled in, and the number of training rows."""
        settings = parse_settings(request)
        version = dataset.version
        if version is None:
            message = "The dataset has no rows yet."
            raise Conflict(message, param="dataset_id", code="dataset_not_ready")
        training_rows = version.rows if held_out else version.train_rows
        spec = TrainingSpec(
            base_model=base.name,
            dataset=export_name(dataset),
            eval_dataset=_held_out_name(dataset, held_out) if held_out else None,
            method=request.method,
            settings=settings.filled_in(training_rows=training_rows, parameters=base.parameters),
        )
        return spec, training_rows

    def _foretold(self, by: Identity, spec: TrainingSpec, version: DatasetVersion, rows: int, looked: Preflight | None) -> dict[str, Any]:
        """Return the estimate that a run is launched with, to be held against what it takes; empty where nobody can tell."""
        arch = self._measures(by, spec.base_model) if self._measures else None
        if arch is None:
            return {}
        work = work_of(version, spec.settings, rows)
        estimates = Estimates(self.session)
        planned = (arch, spec.settings, as_seen(work, looked) if looked else work)
        return foretell(planned, estimates.targets(by), estimates.prices(by))

    def get(self, by: Identity, run_id: str, *, to_change: bool = False) -> Run:
        """Return a run of the project, or NotFound; `to_change` locks it until the unit of work ends."""
        return run_of(self.session, by, run_id, to_change=to_change)

    def free_name(self, by: Identity, name: str) -> str:
        """Return a name for a clone of `name`: the same with the next number that no run has."""
        stem = re.sub(r" \d+$", "", name)[:190]
        mine = select(Run.name).where(Run.project_id == by.project_id, Run.name.startswith(f"{stem} ", autoescape=True))
        taken = set(self.session.scalars(mine))
        return next(f"{stem} {number}" for number in count(2) if f"{stem} {number}" not in taken)

    def newest(self, by: Identity, *, wanted: RunFilter = EVERYTHING, limit: int = 50, after: str | None = None) -> Page[Run]:
        """Return the project's runs that a filter lets through, newest first, with the datasets that failures speak of."""
        query = wanted.mine(self.session, by).options(selectinload(Run.version).selectinload(DatasetVersion.dataset))
        return newest_first(self.session, query, Run.id, limit=limit, after=after)

    def counts(self, by: Identity) -> dict[str, int]:
        """Return how many runs are in each state."""
        counted = select(Run.status, func.count()).where(Run.project_id == by.project_id).group_by(Run.status)
        return dict(self.session.execute(counted).all())

    def change(self, by: Identity, run_id: str, wanted: RunChange) -> Run:
        """Write a name, notes, tags or a priority on a run, whatever its state; a model that was made keeps its name."""
        run = self.get(by, run_id, to_change=True)
        given = wanted.model_dump(exclude_none=True) | ({"priority": wanted.priority.number} if wanted.priority else {})
        given = {name: value for name, value in given.items() if value != getattr(run, name)}
        if not given:
            return run
        if "name" in given:
            self._tell(run, "renamed", f"{by.user_name} renamed the run from {run.name!r} to {given['name']!r}.")
        if "priority" in given:
            self._tell(run, "priority", f"{by.user_name} set the priority to {wanted.priority}.")
        note(self.session, by.project_id, by.user_id, "run.changed", run.id, fields=sorted(given))
        for name, value in given.items():
            setattr(run, name, value)
        return run

    def act(self, by: Identity, run_id: str, action: str) -> Run:
        """Stop, pause, resume or cancel a run; Conflict when its state does not allow it."""
        run = self.get(by, run_id, to_change=True)
        run.move_to(after_request(action, RunStatus(run.status)))
        run.error_code = None
        if run.status == RunStatus.QUEUED:
            run.crashes_since_progress, run.finished_at = 0, None
            after_commit(self.session, lambda: self.queue.ring(TRAINING_QUEUE))
        if run.status in ENDED:
            run.finished_at = utc_now()
        if run.status == RunStatus.CANCELLED:
            forget_model(self.session, run, self.datasets.storage)
            self._forget_checkpoints(by, run)
        note(self.session, by.project_id, by.user_id, f"run.{action}", run.id)
        self._tell(run, action, f"{by.user_name} asked to {action} the run.")
        return run

    def events(self, by: Identity, run_id: str, *, limit: int = 100, after: int = 0) -> Page[EventRow]:
        """Return what happened to a run, oldest first; `after` is the last event's id one has seen."""
        run = self.get(by, run_id)
        query = select(EventRow).where(EventRow.subject_id == run.id, EventRow.id > after).order_by(EventRow.id).limit(limit + 1)
        found = self.session.scalars(query).all()
        return Page(found[:limit], len(found) > limit)

    def spec_yaml(self, run: Run) -> str:
        """Return the run's spec as a file for `hone train`; its dataset is what the dataset's export gives."""
        head = f"# {run.name}\n# hone train spec.yaml --out out   (put the dataset's export beside this file)\n".replace("\r", " ")
        return head + yaml.safe_dump(run.spec, sort_keys=False, allow_unicode=True)

    def _forget_checkpoints(self, by: Identity, run: Run) -> None:
        """Let go of what a run that nobody holds had saved; a worker of its machine removes the files, since the audit says so."""
        freed = Disk(self.session).of_runs([run])[run.id].checkpoints
        gone, run.checkpoint_step = self.session.scalars(still_there(run.id)).all(), 0
        let_go(self.session, gone, self.datasets.storage)
        if gone:
            note(self.session, by.project_id, by.user_id, CHECKPOINTS_DELETED, run.id, name=run.name, bytes=freed)

    def _origin(self, by: Identity, run_id: str | None) -> str | None:
        """Return the id of the run that a new one takes up, or Invalid when there is none."""
        if run_id is None:
            return None
        try:
            return self.get(by, run_id).id
        except NotFound:
            message = f"There is no run {run_id[:60]!r} to clone; it may have been deleted."
            raise Invalid(message, param="cloned_from", code="run_not_found") from None

    def _ready(self, by: Identity, dataset_id: str, param: str) -> Dataset:
        try:
            dataset = self.datasets.get(by, dataset_id, to_change=True)
        except NotFound:
            message = f"There is no dataset {dataset_id[:60]!r}."
            raise Invalid(message, param=param, code="dataset_not_found") from None
        if dataset.status != DatasetStatus.READY:
            message = f"The dataset {dataset.name!r} is {dataset.status.replace('_', ' ')}, not ready to train on."
            raise Conflict(message, param=param, code="dataset_not_ready")
        return dataset

    def _tell(self, run: Run, kind: str, message: str) -> None:
        self.session.add(EventRow(project_id=run.project_id, subject_id=run.id, type=kind, message=message))


def run_of(session: Session, by: Identity, run_id: str, *, to_change: bool = False) -> Run:
    """Return a run of somebody's project, or NotFound; `to_change` locks it until the unit of work ends."""
    query = select(Run).where(Run.id == run_id, Run.project_id == by.project_id)
    run = session.scalar(query.with_for_update().execution_options(populate_existing=True) if to_change else query)
    if run is None:
        message = "There is no such run."
        raise NotFound(message, code="run_not_found")
    return run


def export_name(dataset: Dataset) -> str:
    """Return the file name a dataset's export has."""
    stem = re.sub(r"[^\w.-]+", "-", dataset.name).strip("-.")[:60] or "dataset"
    return f"{stem}.jsonl"


def _held_out_name(dataset: Dataset, held_out: Dataset) -> str:
    name = export_name(held_out)
    return f"held-out-{name}" if name == export_name(dataset) else name


def model_name(run: Run, project_name: str) -> str:
    """Return the name the tuned model answers to: ft:<base>:<project>:<suffix>:<id>."""
    base = re.split(r"[/\\]", run.base_model.rstrip("/\\"))[-1]
    parts: list[Any] = [base, project_name, run.name, run.id.replace("-", "")[-10:]]
    return "ft:" + ":".join(re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-")[:40] or "x" for part in parts)
