"""Measurements before training as a kind of work: whom the child asks with which keys, how far it is, what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from app.db import Baseline, Connection, DatasetVersion
from app.db.audit import OUTSIDE_CONTACTED, note
from app.db.base import utc_now
from app.db.session import after_commit, reading
from app.domain.baselines import AskedModel, Plan
from app.domain.errors import Invalid, NotFound, Unavailable
from app.domain.events import AnyEvent, Doing, Finished, Progress, Started
from app.domain.runs import RunStatus
from app.gateways.inference import NO_SERVER
from app.services.connections import Connections
from workers.child import Child
from workers.curation.child import remove
from workers.outside_keys import secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from workers.worker import Worker

LOG = "log.txt"
MOST_BYTES = 32 * 2**20
"""Of results that are taken from a child: two hundred rows with all that was answered are less."""


class Reached(NamedTuple):
    """One model as the child is told of it, and its key, which goes another way."""

    address: dict[str, Any]
    key: str | None


class Came(NamedTuple):
    """What came of a measurement, and which hosts outside were spoken to."""

    results: dict[str, Any]
    answers: dict[str, Any]
    contacted: list[str]


class BaselineWork:
    """Asks models on the cpu queue, in a place of its own: it mostly waits for their answers."""

    table = Baseline
    queue = "cpu"
    errand = "a measurement"

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        """Settle whom to ask and have the rows here; return what starts the child."""
        folder = work_folder(worker, work_id)
        folder.mkdir(parents=True, exist_ok=True)
        with reading(worker.engine) as session:
            row = session.get_one(Baseline, work_id)
            version = session.get(DatasetVersion, row.version_id)
            if version is None:
                raise Invalid("The rows that were to be asked have gone.", code="rows_gone")
            sha256, plan = version.artifact.sha256, row.plan
            reached = [_reached(worker, session, row, model) for model in Plan.model_validate(plan).models]
        # After the session: to fetch a file may take minutes, and an open read would keep writers waiting.
        given = {
            "rows": str(worker.storage.path(sha256)), "plan": plan, "results": str(folder / f"results-t{token}.json"),
            "answers": str(folder / f"answers-t{token}.jsonl"),
            "earlier": [str(file) for file in sorted(folder.glob("answers-t*.jsonl"))],
            "addresses": [each.address for each in reached],
        }  # fmt: skip
        spec_file = folder / f"spec-t{token}.json"
        spec_file.write_text(json.dumps(given), encoding="utf-8")
        arguments = ["workers.evaluation.baseline", str(spec_file)]

        def start() -> Child:
            child = Child(arguments, folder=folder, log_file=folder / LOG)
            child.confide(json.dumps([each.key for each in reached]))
            return child

        return start

    def record(self, _session: Session, _worker: Worker, row: Baseline, events: Sequence[AnyEvent]) -> None:
        """Note how far the child is."""
        for event in events:
            if isinstance(event, Started):
                _begun(row, event)
            elif isinstance(event, Doing):
                # What it waits for, until it goes on; for how long says nothing of how long answers take.
                row.reason, row.started_at, row.done_before = event.what, utc_now(), row.done
            elif isinstance(event, Progress):
                _advanced(row, event)

    def package(self, worker: Worker, work_id: str, token: int, finished: Finished | None) -> Came | None:
        """Read the results that the child has written."""
        if finished is None or finished.status != "succeeded":
            return None
        file = work_folder(worker, work_id) / f"results-t{token}.json"
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            message = "The measurement ended well, and then its results could not be read."
            raise NotFound(message, code="storage")
        made = json.loads(file.read_bytes())
        return Came(made["results"], made["answers"], finished.data.get("contacted", []))

    def keep(self, session: Session, worker: Worker, row: Baseline, package: Came) -> None:
        """Enter the results."""
        row.results, row.answers, row.done = package.results, package.answers, row.total
        if package.contacted:
            note(session, row.project_id, row.created_by, OUTSIDE_CONTACTED, row.id, hosts=package.contacted, why=self.errand)
        _clean_up(session, worker, row.id, log_too=True)

    def discard(self, worker: Worker, package: Came) -> None:
        """Nothing of it is in the store, and the folder is cleared with the row."""

    def ended(self, session: Session, worker: Worker, row: Baseline) -> None:
        """Keep what was answered for the next attempt; without one, keep nothing but the log of what failed."""
        if row.status in {RunStatus.FAILED, RunStatus.CANCELLED}:
            _clean_up(session, worker, row.id, log_too=row.status == RunStatus.CANCELLED)


def baseline_folders(worker: Worker) -> Path:
    """Return where the folders of measurements are, each named by its id."""
    return worker.settings.home.resolve() / "baselines"


def work_folder(worker: Worker, work_id: str) -> Path:
    """Return the folder of one measurement's work."""
    return baseline_folders(worker) / work_id


def _begun(row: Baseline, event: Started) -> None:
    if row.status == RunStatus.STARTING:
        row.move_to(RunStatus.RUNNING)
    if event.total_steps:  # rows are chosen, and it is known what is left
        row.started_at, row.done_before = utc_now(), event.step
        row.done, row.total = event.step, event.total_steps


def _advanced(row: Baseline, event: Progress) -> None:
    row.reason = ""
    # Answers are kept for the next attempt: only crashes without any are counted.
    row.crashes_since_progress = 0 if event.done > row.done else row.crashes_since_progress
    row.done, row.total = event.done, event.total


def _reached(worker: Worker, session: Session, row: Baseline, model: AskedModel) -> Reached:
    """Return how a model is reached: this studio's through the inference server, an outside one by its connection."""
    if not model.is_outside:
        url, key = worker.settings.inference_url, worker.settings.inference_key
        if not url:
            raise Unavailable(NO_SERVER, code="no_inference_server")
        return Reached({"url": f"{url}/v1", "model": model.name, "place": model.place}, key.get_secret_value() if key else None)
    connection = session.get(Connection, model.connection_id)
    if connection is None or connection.project_id != row.project_id:
        raise Invalid(f"The outside model {model.name} is not there any more.", code="connection_not_found")
    address = {"url": connection.url, "model": connection.model, "private_allowed": connection.private_allowed}
    return Reached(address, Connections(session, secrets_of(worker)).secret_of(connection))


def _clean_up(session: Session, worker: Worker, work_id: str, *, log_too: bool) -> None:
    def clean() -> None:
        folder = work_folder(worker, work_id)
        remove([folder] if log_too else [path for path in folder.glob("*") if path.name != LOG])

    after_commit(session, clean)
