"""Where a run comes from: the run it takes up, what it changed against it, and the runs that take it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from app.db import Run
from app.domain.differences import Difference, differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from app.db import DatasetVersion
    from app.domain.specs import TrainingSpec

CLONES_SHOWN = 20


@dataclass(frozen=True)
class Lineage:
    """A run's origin, if it was cloned and that is still there, what was changed, and its own clones (id, name), newest first."""

    origin: Run | None = None
    changes: Sequence[Difference] = ()
    clones: Sequence[Row[str, str]] = ()


def comparable(run: Run) -> dict[str, Any]:
    """Return a run as `app.domain.differences` compares it: its spec, with datasets named as people know them."""
    return described(run.spec, run.version, run.eval_version, run.total_steps)


def described(
    spec: TrainingSpec | dict[str, Any], version: DatasetVersion, held_out: DatasetVersion | None, total_steps: int
) -> dict[str, Any]:
    """Return a spec as `app.domain.differences` compares it, of a run or of one that is only planned."""
    plain = spec if isinstance(spec, dict) else spec.model_dump(mode="json")
    rows = version.artifact.sha256[:12]
    held_out_name = named(held_out) if held_out else None
    return plain | {"dataset": named(version), "rows": rows, "eval_dataset": held_out_name, "total_steps": total_steps}


def named(version: DatasetVersion) -> str:
    """Return what people call the rows of a version."""
    return version.dataset.name if version.number == 1 else f"{version.dataset.name}, version {version.number}"


def lineage_of(session: Session, run: Run) -> Lineage:
    """Return where a run comes from, and what came of it."""
    origin = session.get(Run, run.cloned_from) if run.cloned_from else None
    clones = session.execute(select(Run.id, Run.name).where(Run.cloned_from == run.id).order_by(Run.id.desc()).limit(CLONES_SHOWN)).all()
    return Lineage(origin, differences(comparable(origin), comparable(run)) if origin else (), clones)
