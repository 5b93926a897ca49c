"""What stands ready when a trainer is started, and what of other attempts stays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, select, update

import workers.training_work
from app.config import PROJECT_ROOT
from app.db import Artifact, AuditEntry, Run
from app.db.audit import OUTSIDE_CONTACTED
from app.db.session import unit_of_work
from app.domain.events import Started
from app.domain.specs import STARTER
from app.domain.tracking import Tracking, trackers_named
from app.gateways.fetched_bases import FetchedBases
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.workers.scenes import worker
from workers.run_checkpoints import GoodCheckpoint, run_folder
from workers.training_work import TrainingWork
from workers.worker import Worker

__all__ = ["worker"]
TOKEN = 5


@pytest.fixture
def run_id(engine: Engine, owner: Identity, worker: Worker) -> str:
    """A run whose rows are in the store."""
    rows = worker.storage.incoming / "rows"
    rows.write_bytes(b"rows")
    sealed = worker.storage.seal(rows)
    worker.storage.put(sealed)
    made = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        session.execute(update(Artifact).values(sha256=sealed.sha256))
    return made


def test_what_earlier_attempts_left_goes_and_a_later_ones_stays(worker: Worker, run_id: str) -> None:
    folder = run_folder(worker, run_id)
    for name in ("adapter-t4", ".adapter-t4.staging", "adapter-t5", "adapter-t6", ".adapter-t6.staging"):
        (folder / name).mkdir(parents=True)
    for name in ("spec.yaml", "spec-t4.yaml", "spec-t6.yaml"):
        (folder / name).touch()
    TrainingWork().prepare(worker, run_id, TOKEN)
    assert sorted(path.name for path in folder.iterdir()) == [".adapter-t6.staging", "adapter-t6", "spec-t5.yaml", "spec-t6.yaml"]
    assert Path(yaml.safe_load((folder / "spec-t5.yaml").read_text())["dataset"]).read_bytes() == b"rows"


def test_rows_are_the_last_thing_to_be_fetched(worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    path = worker.storage.path

    def asked(sha256: str) -> Path:
        done.append("rows")
        return path(sha256)

    def fetched(*_: object) -> GoodCheckpoint | None:
        done.append("checkpoint")
        return None

    monkeypatch.setattr(worker.storage, "path", asked)
    monkeypatch.setattr(workers.training_work, "newest_good_checkpoint", fetched)
    TrainingWork().prepare(worker, run_id, TOKEN)
    assert done == ["checkpoint", "rows"]


def test_a_base_that_was_fetched_is_trained_from_without_the_hub_and_a_run_stays_with_its_commit(
    engine: Engine, worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, dict[str, Any]]] = []

    def begin(arguments: list[str], **options: Any) -> None:
        begun.append((arguments[arguments.index("--base-dir") + 1] if "--base-dir" in arguments else "", options))

    monkeypatch.setattr(workers.training_work, "Child", begin)
    bases = FetchedBases(worker.settings.fetched_bases)
    first, second = bases.place("acme/small", "a" * 40), bases.place("acme/small", "b" * 40)
    with unit_of_work(engine) as session:
        session.get_one(Run, run_id).base_model = "acme/small"
    TrainingWork().prepare(worker, run_id, TOKEN)()
    for folder in (first, second):
        shutil.copytree(PROJECT_ROOT / "models" / STARTER, folder)
        os.utime(folder, (1, 1) if folder == first else None)
    TrainingWork().prepare(worker, run_id, TOKEN)()
    with unit_of_work(engine) as session:
        session.get_one(Run, run_id).facts = {"base_dir": str(first)}
    TrainingWork().prepare(worker, run_id, TOKEN)()
    assert [(base, options["hub"]) for base, options in begun] == [("", {}), (str(second), None), (str(first), None)]


@pytest.mark.parametrize("named", ["", "wandb,mlflow"])
def test_a_trainer_is_told_of_the_trackers_that_the_settings_name_and_of_no_others(
    worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    begun: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(workers.training_work, "Child", lambda arguments, **options: begun.append((arguments, options)))
    worker.settings = worker.settings.model_copy(update={"trackers": named})
    TrainingWork().prepare(worker, run_id, TOKEN)()
    ((arguments, options),) = begun
    assert ("--tracking" in arguments, list(options["trackers"])) == (bool(named), list(trackers_named(named)))
    if named:
        told = Tracking.model_validate_json(arguments[arguments.index("--tracking") + 1])
        assert (told.trackers, told.run_id) == (trackers_named(named), run_id)
        assert "/" not in told.name + told.dataset


@pytest.mark.parametrize(("named", "hosts"), [("", []), ("trackio", []), ("wandb,mlflow", [["api.wandb.ai", "mlflow.example"]])])
def test_whom_a_run_speaks_to_is_written_down(
    engine: Engine, worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch, named: str, hosts: list[list[str]]
) -> None:
    for name in ("WANDB_BASE_URL", "WANDB_MODE", "TRACKIO_SERVER_URL", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    worker.settings = worker.settings.model_copy(update={"trackers": named})
    with unit_of_work(engine) as session:
        TrainingWork().record(session, worker, session.get_one(Run, run_id), [Started(message="Training.")])
    with unit_of_work(engine) as session:
        noted = session.scalars(select(AuditEntry.details).where(AuditEntry.action == OUTSIDE_CONTACTED, AuditEntry.subject == run_id))
        assert [details["hosts"] for details in noted] == hosts
