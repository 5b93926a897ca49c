"""Training runs as a kind of work: the spec a trainer gets, what its reports mean, and what is kept of it."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from app.config import PROJECT_ROOT
from app.db import EventRow, Project, Run, metrics
from app.db.artifacts import drop, keep
from app.db.audit import OUTSIDE_CONTACTED, note
from app.db.base import utc_now
from app.db.counters import RUN_STEPS, count
from app.db.run_samples import enter_samples
from app.db.runs import forget_model
from app.db.session import after_commit, reading
from app.domain.base_models import is_hub_id
from app.domain.cards import render_card
from app.domain.diagnosis import DISK_FULL, STORAGE
from app.domain.errors import NotFound
from app.domain.events import AnyEvent, Checkpoint, Finished, Metric, Notice, Sample, Started
from app.domain.holds import carried_over
from app.domain.ids import new_id
from app.domain.ports import Sealed
from app.domain.results import CARD, result_in
from app.domain.runs import RunStatus, adapter_folder, token_in
from app.domain.specs import STARTER
from app.domain.tracking import Tracking, hosts_of
from app.gateways.fetched_bases import FetchedBases
from app.gateways.model_folders import ModelFolders
from app.services.runs import model_name
from workers.child import Child
from workers.lineage import card_of
from workers.outside_keys import hub_keys
from workers.packing import PackedCheckpoint, discard
from workers.run_checkpoints import count_work, drop_checkpoints, enter_checkpoint, enter_packed, newest_good_checkpoint, run_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session

    from workers.worker import Worker

OF_A_STEP = "train/"
"""What a trainer tells of each step begins like this; one without a token to learn from has no loss."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""As old as an entry of a zip can be: when it was packed is no part of the content."""
CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class PackedAdapter:
    """An adapter.zip, which after full tuning holds a whole model, that waits to be moved into the store, and the step it is of."""

    file: Sealed
    step: int | None


class TrainingWork:
    """Trains on the gpu queue."""

    table = Run
    queue = "gpu"
    errand = "a run"

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        """Write the spec of a trainer that goes on from the newest whole checkpoint if there is one; return what starts it."""
        folder = run_folder(worker, work_id)
        folder.mkdir(parents=True, exist_ok=True)
        _remove_earlier(folder, token)
        # First, for it may take long: the store's cache keeps what was asked for lately, and the rows are to be read at once.
        checkpoint = newest_good_checkpoint(worker, work_id, token)
        with reading(worker.engine) as session:
            run = session.get_one(Run, work_id)
            files, dataset = {"dataset": run.version.artifact.sha256}, run.version.dataset.filename
            if run.eval_version:
                files["eval_dataset"] = run.eval_version.artifact.sha256
        # After the session: to look for a base or to fetch a file may take minutes, and an open read would keep writers waiting.
        base_dir = _base_dir(worker, run)
        spec = dict(run.spec) | {name: str(worker.storage.path(sha256)) for name, sha256 in files.items()}
        spec_file = folder / f"spec-t{token}.yaml"
        spec_file.write_text(yaml.safe_dump(spec), encoding="utf-8")
        arguments = ["workers.train", str(spec_file), "--out", str(folder), "--lease-token", str(token)]
        arguments += ["--cache", str(worker.settings.home.resolve() / "cache" / "tokens")]
        trackers = worker.settings.tracked_by
        if trackers:
            known = Tracking(trackers=trackers, run_id=run.id, name=run.name, dataset=dataset)
            arguments += ["--tracking", known.model_dump_json()]
        if base_dir:
            arguments += ["--base-dir", str(base_dir)]
        if checkpoint:
            arguments += ["--resume", str(checkpoint.folder)]
        log_file, hub = folder / "log.txt", hub_keys(worker, run.project_id) if base_dir is None else None
        return lambda: Child(
            arguments, folder=folder, log_file=log_file, hub=hub, trackers=trackers,
            keeps=worker.device_lock.inherited, warm=worker.warm,
        )  # fmt: skip

    def record(self, session: Session, worker: Worker, row: Run, events: Sequence[AnyEvent]) -> None:
        """Write what the trainer reported."""
        for event in events:
            if isinstance(event, Started):
                _record_start(session, row, event)
                _note_trackers(session, worker, row)
            elif isinstance(event, Checkpoint):
                _record_checkpoint(session, worker, row, event)
            elif isinstance(event, Notice):
                _tell(session, row, "notice", event.message)
                if event.data.get("code") == DISK_FULL:  # the trainer tries again: room is made at the price of an older checkpoint
                    drop_checkpoints(session, worker, row, keep=1)
        _record_numbers(session, worker, row, [event for event in events if isinstance(event, Metric)])
        enter_samples(session, row.id, [e for e in events if isinstance(e, Sample)])

    def package(self, worker: Worker, work_id: str, token: int, finished: Finished | None) -> PackedAdapter | None:
        """Zip what was made with its card; of work that was cut off the newest checkpoint's; None when there is neither."""
        made, step = run_folder(worker, work_id) / adapter_folder(token), None
        is_there = bool(result_in(made))
        if finished and finished.status == "succeeded" and not is_there:
            # Not the checkpoint's: nobody would know that the last steps are missing.
            message = f"The training ended well, and then what it made was not in {made}."
            raise NotFound(message, code=STORAGE)
        if finished is None or not is_there:
            checkpoint = newest_good_checkpoint(worker, work_id, token)
            if checkpoint is None or not result_in(checkpoint.folder):
                return None
            made, step = checkpoint.folder, checkpoint.step
        with reading(worker.engine) as session:
            run = session.get_one(Run, work_id)
            card = render_card(card_of(session, run, made, steps=run.step if step is None else step))
        # A name of its own: when a worker is lost, several sweeps, and the worker that wakes up late, may pack at the same time.
        packed = worker.storage.incoming / f"adapter-{work_id}-t{token}-{new_id()}.zip"
        try:
            pack_result(made, card, packed)
            return PackedAdapter(worker.storage.seal(packed), step)
        except BaseException:
            packed.unlink(missing_ok=True)
            raise

    def keep(self, session: Session, worker: Worker, row: Run, package: PackedAdapter) -> None:
        """Enter what was made in place of an earlier result, and give the model its name."""
        project, earlier = session.get_one(Project, row.project_id), row.adapter
        row.model = row.model or model_name(row, project.name)
        filename = f"{row.model.replace(':', '_')}.zip"
        row.adapter = keep(session, worker.storage, package.file, kind="adapter", filename=filename, owner=row)
        row.step = row.step if package.step is None else package.step
        count_work(worker, row)
        # It lies in the store now; a second copy would only fill the disk.
        after_commit(session, partial(shutil.rmtree, run_folder(worker, row.id) / adapter_folder(row.lease_token), ignore_errors=True))
        if earlier:
            session.flush()
            drop(session, earlier, worker.storage)

    def discard(self, worker: Worker, package: PackedAdapter) -> None:
        """Remove the zip unless it was kept: nobody else would look for it."""
        discard(worker, package.file)

    def ended(self, session: Session, worker: Worker, row: Run) -> None:
        """Count what stays; of what was cancelled that is only the record."""
        count_work(worker, row)
        if row.status == RunStatus.CANCELLED:
            drop_checkpoints(session, worker, row, keep=0)
            forget_model(session, row, worker.storage)


def _remove_earlier(folder: Path, token: int) -> None:
    """Remove what earlier attempts left; a later one may be at work already, if this one slept past its lease before it came here."""
    for left in [*folder.glob("adapter*"), *folder.glob(".adapter*"), *folder.glob("spec*.yaml")]:
        if token_in(left.name) <= token:
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _base_dir(worker: Worker, run: Run) -> Path | None:
    """Return where the base lies; for one from the Hub where an earlier attempt found it, so that it stays the same."""
    written = run.facts.get("base_dir")
    known = Path(written) if written and Path(written).is_dir() else None
    return known if known and is_hub_id(run.base_model) else _bases(worker).find(run.base_model).folder or known


def _bases(worker: Worker) -> ModelFolders:
    settings = worker.settings
    fetched = FetchedBases(settings.fetched_bases)
    return ModelFolders(PROJECT_ROOT / "models" / STARTER, settings.model_folders, only_under=not settings.local_owner, fetched=fetched)


def pack_result(folder: Path, card: str, target: Path) -> None:
    """Write the zip that people take away: what was made and its card at the top level, the same bytes for the same content.

    Weights are not compressed, which would gain nothing, nor held in memory.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name in result_in(folder):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
            entry.file_size = (folder / name).stat().st_size  # by which zipfile knows that it needs large offsets
            with (folder / name).open("rb") as source, archive.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed, CHUNK_BYTES)
        archive.writestr(zipfile.ZipInfo(CARD, EPOCH), card.encode(), zipfile.ZIP_DEFLATED)


def _tell(session: Session, run: Run, kind: str, message: str, **data: int) -> None:
    session.add(EventRow(project_id=run.project_id, subject_id=run.id, type=kind, message=message, data=data, lease_token=run.lease_token))


def _record_start(session: Session, run: Run, event: Started) -> None:
    if run.status == RunStatus.STARTING:
        run.move_to(RunStatus.RUNNING)
    run.started_at = run.started_at or utc_now()
    run.facts, run.step = carried_over(run.facts) | event.data, event.step
    run.total_steps = event.total_steps or run.total_steps
    # What only the base decides (a Hub model's learning rate) is known now.
    run.spec = run.spec | {"settings": event.data.get("settings", run.spec.get("settings"))}
    _tell(session, run, "started", event.message, step=event.step)


def _note_trackers(session: Session, worker: Worker, run: Run) -> None:
    """Write down whom the trainer speaks to, by the operator's settings."""
    hosts = hosts_of(worker.settings.tracked_by, os.environ)
    if contacted := [host for host in hosts.values() if host]:
        note(session, run.project_id, run.created_by, OUTSIDE_CONTACTED, run.id, hosts=contacted, why="a run's numbers")


def _record_checkpoint(session: Session, worker: Worker, run: Run, event: Checkpoint) -> None:
    if isinstance(event, PackedCheckpoint):
        enter_packed(session, worker, run, event)
    elif enter_checkpoint(session, worker, run, event):
        _tell(session, run, "checkpoint", f"Checkpoint at step {event.step}.")


def _record_numbers(session: Session, worker: Worker, run: Run, reported: Sequence[Metric]) -> None:
    if not reported:
        return
    metrics.append(session, run.id, run.lease_token, [metrics.Point(one.step, one.name, one.value) for one in reported])
    steps = [run.step, *(one.step for one in reported if one.name.startswith(OF_A_STEP))]
    run.step = steps[-1]
    count(session, RUN_STEPS, by=sum(one != other for one, other in pairwise(steps)), of=worker.id)
