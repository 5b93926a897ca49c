"""A run's curves to take away: a folder for TensorBoard, made of what the database keeps, whatever machines the run was on.

The trainer's own files lie on its machine, and hold besides when each number came. Here all bear the time at which the run began.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from app.db import metrics
from app.db.session import pause
from app.domain import tensorboard
from app.domain.errors import NotFound
from app.domain.events import Started
from app.domain.runs import RunStatus
from app.domain.tracking import configuration_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.orm import Session

    from app.db import Run
    from app.domain.tensorboard import Ending

ENDINGS: dict[str, Ending] = {RunStatus.SUCCEEDED: "succeeded", RunStatus.STOPPED: "succeeded", RunStatus.FAILED: "failed"}
MAX_POINTS = 10_000
"""So much of a curve is packed: a million steps would keep the web's process busy for half a minute, and no screen shows more."""
MEDIA_TYPE = "application/zip"


class Curves(NamedTuple):
    """A file as it is handed out."""

    filename: str
    content: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Return what has a browser keep it as a file."""
        return {"Content-Disposition": f'attachment; filename="{self.filename}"'}


def for_tensorboard(session: Session, run: Run) -> Curves:
    """Return a zip with one folder, named like the run, of at most MAX_POINTS a metric; NotFound while there are no numbers."""
    names = metrics.names(session, run.id)
    if not names:
        raise NotFound("This run has no numbers yet.", code="no_numbers")
    folder = re.sub(r"[^A-Za-z0-9._-]+", "-", run.name).strip("-.")[:60] or "run"
    began = (run.started_at or run.created_at).timestamp()
    told = Started(message="", data=run.facts | {"settings": run.spec.get("settings"), "dataset": run.version.dataset.name})
    ending = ENDINGS.get(run.status)
    curves = metrics.read_each(session, run.id, names, MAX_POINTS)
    pause(session)  # packing takes a while
    records = [tensorboard.head(began), tensorboard.settings(began, configuration_of(told)), *_scalars(began, curves)]
    if ending:
        records.append(tensorboard.ending(began, ending))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}/{tensorboard.file_name(int(began * 1e9))}", b"".join(records))
    return Curves(f"{folder}-tensorboard.zip", packed.getvalue())


def _scalars(time: float, curves: Iterable[Iterable[metrics.Point]]) -> Iterator[bytes]:
    by_step: defaultdict[int, list[tuple[str, float]]] = defaultdict(list)
    for curve in curves:
        for point in curve:
            by_step[point.step].append((point.name, point.value))
    for step in sorted(by_step):
        yield tensorboard.scalars(time, step, by_step[step])
