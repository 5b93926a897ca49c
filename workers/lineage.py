"""Where a run's adapter or model comes from, for its card: dataset version, base, spec, scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import Run, metrics
from app.domain.cards import CHAT_TEMPLATE, METRIC_WORDS, Lineage
from app.domain.results import came_from

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session


def card_of(session: Session, run: Run, result: Path, *, steps: int) -> Lineage:
    """Return what the card of a run's result after `steps` steps says; `result` is the folder that it lies in."""
    origin = came_from(result)
    curves = {name: metrics.read(session, run.id, name) for name in METRIC_WORDS}
    version, held_out = run.version, run.eval_version
    return Lineage(
        base_model=origin["base_model"],
        revision=origin["revision"],
        dataset=f"{version.dataset.name} (version {version.number}, sha256 {version.artifact.sha256[:16]})",
        training_rows=version.rows if held_out else version.train_rows,
        held_out_rows=held_out.rows if held_out else version.test_rows,
        tuning=run.spec["settings"]["tuning"],
        steps=steps,
        settings=run.spec["settings"],
        metrics={
            name: [p.value for p in points if p.step <= steps][-1] for name, points in curves.items() if points and points[0].step <= steps
        },
        base_metrics={name: points[0].value for name, points in curves.items() if points and points[0].step == 0},
        has_template=(result / CHAT_TEMPLATE).is_file(),
    )
