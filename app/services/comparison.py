"""Several runs side by side: their curves, their scores, what differs between them, and which scores say nothing about each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.db import metrics
from app.domain.comparison import MEASURES, Score, check_count, score
from app.domain.differences import DifferingRow, differing_rows, told_rows
from app.domain.runs import RunStatus
from app.services.lineage import comparable, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.db import Run
    from app.db.metrics import Point
    from app.domain.comparison import Measure
    from app.services.accounts import Identity
    from app.services.runs import Runs

TRAIN, HELD_OUT = "train/loss", "eval/loss"
POINTS = 300
"""Of one curve: six runs of two curves each stay within a page's weight."""


@dataclass(frozen=True)
class Curves:
    """The two losses of a run."""

    train: list[Point]
    held_out: list[Point]


@dataclass(frozen=True)
class Comparison:
    """Everything a page or REST says of several runs; every tuple is in the order of `runs`."""

    runs: Sequence[Run]
    curves: tuple[Curves, ...]
    scores: list[Score]
    differing: list[DifferingRow]
    all_rows: list[DifferingRow]
    notes: list[str]


@dataclass(frozen=True)
class Alike:
    """What the runs share, and so which of their scores say something about each other."""

    held_out: bool
    base: bool
    machine: bool

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Alike:
        """Look at what runs were checked on, and where."""
        machines = ((str(run.facts.get("device", "")), str(run.facts.get("precision", ""))) for run in runs if run.facts)
        return cls(_all_same(map(_held_out_of, runs)), _all_same(run.base_model for run in runs), _all_same(machines))

    def ranks(self, measure: Measure) -> bool:
        """Return whether one value of a measure may be called better than another."""
        if not measure.is_of_quality:
            return self.machine
        return self.held_out and (self.base or measure.name == "eval/exact_match")


def compare(session: Session, runs: Runs, by: Identity, ids: Sequence[str]) -> Comparison:
    """Lay runs of the project side by side; Invalid for too few or too many, NotFound for one that is not there."""
    check_count(ids)
    found = [runs.get(by, run_id) for run_id in ids]
    train, held_out = (metrics.read_many(session, ids, name, POINTS) for name in (TRAIN, HELD_OUT))
    curves = tuple(Curves(train.get(run.id, []), held_out.get(run.id, [])) for run in found)
    measured = [_measured(session, run, of) for run, of in zip(found, curves, strict=True)]
    alike = Alike.of(found)
    scores = [score(measure, [of.get(measure.name) for of in measured], comparable=alike.ranks(measure)) for measure in MEASURES]
    specs = [comparable(run) for run in found]
    shown = [one for one in scores if any(value is not None for value in one.values)]
    return Comparison(found, curves, shown, differing_rows(specs), told_rows(specs), _notes(found, alike))


def _measured(session: Session, run: Run, curves: Curves) -> dict[str, float | None]:
    latest = {name: _finite(point.value) for name, point in metrics.latest(session, run.id).items()}
    losses = [value for point in curves.held_out if (value := _finite(point.value)) is not None]
    # A run that was cut short took less time, which is no merit.
    whole = (run.started_at, run.finished_at) if run.status == RunStatus.SUCCEEDED else (None, None)
    took = (whole[1] - whole[0]).total_seconds() if whole[0] and whole[1] else None
    return latest | {"eval/loss:best": min(losses, default=None), "seconds": took}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _held_out_of(run: Run) -> tuple[str, str]:
    """Return what tells the held-out rows of two runs apart: a dataset's own, or the tenth of what was trained on."""
    return ("all", run.eval_version.artifact.sha256) if run.eval_version else ("tenth", run.version.artifact.sha256)


def _all_same(values: Any) -> bool:
    return len(set(values)) <= 1


def _notes(runs: Sequence[Run], alike: Alike) -> list[str]:
    """Say which scores say nothing about each other, and why."""
    notes = []
    if not alike.held_out:
        checked = "; ".join(f"{run.name} on {_held_out_words(run)}" for run in runs)
        notes.append(f"Held-out loss and exact match are not comparable: the runs were checked on different rows ({checked}).")
    elif not _all_same(run.version.artifact.sha256 for run in runs):
        notes.append("The runs learned from different rows, and were checked on the same ones: held-out scores are comparable.")
    if not alike.base:
        notes.append("Losses of different base models are not comparable: each counts its own tokens. Exact match is.")
    if not alike.machine:
        notes.append("Speed, memory and time were measured on different devices or in different precision.")
    return notes


def _held_out_words(run: Run) -> str:
    if run.eval_version:
        return f"the {run.eval_version.rows:,} rows of {named(run.eval_version)}"
    return f"{run.version.test_rows:,} rows of {named(run.version)}"


def document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison in plain values, as REST and the exported file have it."""
    ids = [run.id for run in comparison.runs]
    return {
        "runs": [_run_document(run, curves) for run, curves in zip(comparison.runs, comparison.curves, strict=True)],
        "scores": [
            {
                "name": one.measure.name, "label": one.measure.label, "lower_is_better": one.measure.lower_is_better,
                "values": list(one.values), "best": [ids[place] for place in sorted(one.best)],
            }
            for one in comparison.scores
        ],
        "differences": [{"name": row.name, "label": row.label, "values": list(row.values)} for row in comparison.differing],
        "notes": comparison.notes,
    }  # fmt: skip


def _run_document(run: Run, curves: Curves) -> dict[str, Any]:
    return {
        "id": run.id, "name": run.name, "status": run.status, "started_at": run.started_at, "finished_at": run.finished_at,
        "train_loss": [(point.step, _finite(point.value)) for point in curves.train],
        "held_out_loss": [(point.step, _finite(point.value)) for point in curves.held_out],
    }  # fmt: skip
