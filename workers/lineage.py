"""Where a run's adapter comes from, for its card: dataset version, base, spec, scores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.db import Run, metrics
from app.domain.cards import CHAT_TEMPLATE, METRIC_WORDS, Lineage

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session


def card_of(session: Session, run: Run, adapter: Path, *, steps: int) -> Lineage:
    """Return what the card of a run's adapter after `steps` steps says; `adapter` is the folder with its configuration."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    curves = {name: metrics.read(session, run.id, name) for name in METRIC_WORDS}
    version, held_out = run.version, run.eval_version
    return Lineage(
        base_model=config["base_model_name_or_path"],
        revision=config["revision"],
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
        has_template=(adapter / CHAT_TEMPLATE).is_file(),
    )
