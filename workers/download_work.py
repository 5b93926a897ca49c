"""Downloads of base models as a kind of work: a child fetches files into a folder of its own; nothing of them enters the store."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

from app.db import Download
from app.db.audit import OUTSIDE_CONTACTED, note
from app.db.base import utc_now
from app.db.downloads import is_wanted_by_another
from app.db.session import after_commit, reading
from app.domain.errors import Invalid
from app.domain.events import AnyEvent, Contacted, Finished, Progress
from app.domain.runs import RunStatus
from app.gateways.fetched_bases import FetchedBases
from workers.child import Child
from workers.outside_keys import hub_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from workers.worker import Worker


class DownloadWork:
    """Fetches base models on the cpu queue, in a place of its own: no dataset waits for gigabytes."""

    table = Download
    queue = "cpu"
    errand = "a base model"

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        """Say which files are to be fetched, and where to; return what starts the child."""
        with reading(worker.engine) as session:
            row = session.get_one(Download, work_id)
        try:
            bases = FetchedBases(worker.settings.fetched_bases)
            parts, target = bases.parts(row.repo, row.revision or ""), bases.place(row.repo, row.revision or "")
        except ValueError as error:
            raise Invalid(f"This download cannot be made: {error}.", code="unknown_model") from error
        folder = download_folders(worker) / work_id
        folder.mkdir(parents=True, exist_ok=True)
        given = {"repo": row.repo, "commit": row.revision, "files": row.facts["files"], "parts": str(parts), "target": str(target)}
        spec_file = folder / f"spec-t{token}.json"
        spec_file.write_text(json.dumps(given), encoding="utf-8")
        command, hub = ["workers.downloading", str(spec_file)], hub_keys(worker, row.project_id)
        return lambda: Child(command, folder=folder, log_file=folder / "log.txt", hub=hub)

    def record(self, session: Session, worker: Worker, row: Download, events: Sequence[AnyEvent]) -> None:  # noqa: ARG002 - the protocol's
        """Note how far the child is and whom it speaks to; what has come stays, so bytes are progress."""
        if row.status == RunStatus.STARTING:
            row.move_to(RunStatus.RUNNING)
            row.started_at = row.started_at or utc_now()
        for event in events:
            if isinstance(event, Contacted):
                note(session, row.project_id, row.created_by, OUTSIDE_CONTACTED, row.id, hosts=[event.host], why=self.errand)
            elif isinstance(event, Progress):
                if event.done > row.done_bytes:
                    row.crashes_since_progress = 0
                row.done_bytes, row.total_bytes = event.done, event.total

    def package(self, worker: Worker, work_id: str, token: int, finished: Finished | None) -> dict[str, Any] | None:  # noqa: ARG002 - the protocol's
        """Return what the child tells: the model lies where it belongs already, whole."""
        return finished.data if finished else None

    def keep(self, session: Session, worker: Worker, row: Download, package: dict[str, Any]) -> None:  # noqa: ARG002 - the protocol's
        """Enter that the model is here."""
        row.done_bytes = row.total_bytes
        after_commit(session, partial(_clean_up, download_folders(worker) / row.id))

    def discard(self, worker: Worker, package: dict[str, Any]) -> None:
        """Leave everything: a whole model is no leftover, and half a one is gone on with."""

    def ended(self, session: Session, worker: Worker, row: Download) -> None:
        """Remove what came of a download that was called off; what merely failed goes on where it was at the next try."""
        if row.status == RunStatus.CANCELLED:
            bases = FetchedBases(worker.settings.fetched_bases)
            after_commit(session, partial(_clean_up, download_folders(worker) / row.id))
            # Two downloads of one commit share their parts.
            if row.revision and not bases.has(row.repo, row.revision) and not is_wanted_by_another(session, row):
                after_commit(session, partial(bases.remove, row.repo, row.revision))


def download_folders(worker: Worker) -> Path:
    """Return where the folders of downloads are, each named by its id: with its spec, and the log of what it failed of."""
    return worker.settings.home.resolve() / "downloads"


def _clean_up(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
