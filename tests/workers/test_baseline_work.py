"""Measurements from the claim to the results, with the real child and a model behind a stand-in: lost, called off, refused."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select

from app.config import Settings
from app.db import Artifact, AuditEntry, Baseline, Connection, Dataset, DatasetVersion
from app.db.audit import OUTSIDE_CONTACTED
from app.db.session import reading, unit_of_work
from app.domain.baselines import AskedModel, Plan, Way
from app.domain.datasets import Split
from app.domain.runs import RunStatus
from app.gateways.secrets import SecretBox
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.waiting import until
from tests.workers.evaluation.openai_server import KEY, OpenAi, openai_server, trouble
from tests.workers.evaluation.rows import row, write_rows
from workers.baseline_work import BaselineWork, work_folder
from workers.claim import claim_and_run
from workers.worker import Worker

TRAINS = [trouble(503, "The GPU is training mails.", code="yielded", Retry_After="1")] * 10_000


@pytest.fixture
def model() -> Iterator[OpenAi]:
    with openai_server() as told:
        told.answer = lambda messages: messages[-1]["content"].split()[-1]
        yield told


@pytest.fixture
def worker(engine: Engine, tmp_path: Path, model: OpenAi) -> Iterator[Worker]:
    settings = Settings(home=tmp_path, inference_url=model.address.removesuffix("/v1"), inference_key=SecretStr("own-key"))
    made = Worker(settings, "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    yield made
    made.leaving.set()


def wanted(worker: Worker, by: Identity, *, outside: bool = False) -> str:
    """Ask for a measurement of four rows in two ways."""
    file = worker.storage.incoming / "rows"
    words = ["tea", "kettle"]
    rows = [row(f"Order {n} of one {words[n % 2]}", words[n % 2]) for n in range(20)]
    write_rows(file, [*rows, *(row(f"Order 9{n} of a {words[n % 2]}", words[n % 2], Split.TEST) for n in range(4))])
    asked = AskedModel(name="small", place={"base_dir": "/models/small", "adapter_dir": None})
    if outside:
        asked = AskedModel(name="large", connection_id=connection(worker, by))
    sealed = worker.storage.seal(file)
    worker.storage.put(sealed)
    with unit_of_work(worker.engine) as session:
        theirs = {"project_id": by.project_id, "created_by": by.user_id}
        artifact = Artifact(**theirs, kind="rows", filename="x.parquet", sha256=sealed.sha256, size_bytes=sealed.size_bytes)
        dataset = Dataset(**theirs, name="orders", filename="x.jsonl", status="ready")
        session.add_all([artifact, dataset])
        session.flush()
        version = DatasetVersion(**theirs, dataset_id=dataset.id, artifact=artifact, rows=24, train_rows=20, test_rows=4)
        session.add(version)
        session.flush()
        plan = Plan(dataset="orders", models=(asked,), methods=(Way.ZERO_SHOT, Way.FEW_SHOT), k=2, rows=4, max_tokens=8)
        made = Baseline(**theirs, dataset_id=dataset.id, version_id=version.id, plan=plan.model_dump(mode="json"), queue="cpu", total=8)
        session.add(made)
        session.flush()
        return made.id


def connection(worker: Worker, by: Identity) -> str:
    """Name the stand-in as an outside model, with its key."""
    locked = SecretBox(None, worker.settings.home).lock(KEY)
    with unit_of_work(worker.engine) as session:
        made = Connection(
            project_id=by.project_id, created_by=by.user_id, kind="openai", name="large", model="large-2026", private_allowed=True,
            url=f"{worker.settings.inference_url}/v1", secret=locked.text, secret_key_id=locked.key_id,
        )  # fmt: skip
        session.add(made)
        session.flush()
        return made.id


def state(worker: Worker, work_id: str) -> Baseline:
    with reading(worker.engine) as session:
        found = session.get_one(Baseline, work_id)
        _ = found.answers
        return found


def test_a_measurement_is_entered_with_its_answers(worker: Worker, owner: Identity, model: OpenAi) -> None:
    work_id = wanted(worker, owner)
    assert claim_and_run(worker)
    row = state(worker, work_id)
    assert (row.status, row.done, row.total, row.reason) == (RunStatus.SUCCEEDED, 8, 8, "")
    assert [each["way"] for each in row.results["measured"]] == ["zero_shot", "few_shot"]
    assert len(row.answers["rows"]) == 4
    assert not work_folder(worker, work_id).exists()
    assert {each["authorization"] for each in model.headers} == {"Bearer own-key"}
    assert model.asked[0]["hone"] == {"base_dir": "/models/small", "adapter_dir": None}


def test_an_outside_model_gets_its_own_key_and_the_audit_says_who_was_asked(worker: Worker, owner: Identity, model: OpenAi) -> None:
    model.key = KEY
    work_id = wanted(worker, owner, outside=True)
    assert claim_and_run(worker)
    assert state(worker, work_id).status == RunStatus.SUCCEEDED
    assert {each["model"] for each in model.asked} == {"large-2026"}
    with reading(worker.engine) as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == OUTSIDE_CONTACTED)).one()
    assert (entry.subject, entry.details) == (work_id, {"hosts": ["127.0.0.1"], "why": "a measurement"})


def test_a_wrong_key_fails_in_words_and_is_written_nowhere(worker: Worker, owner: Identity, model: OpenAi) -> None:
    model.key = "another"
    work_id = wanted(worker, owner, outside=True)
    assert claim_and_run(worker)
    row = state(worker, work_id)
    assert (row.status, row.error_code) == (RunStatus.FAILED, "key_refused")
    assert "The model large-2026 refuses the key (401)" in row.reason
    left = [path for path in work_folder(worker, work_id).rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["log.txt"]
    assert KEY not in row.reason + left[0].read_text()
    with reading(worker.engine) as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == OUTSIDE_CONTACTED)).one()
    assert entry.details == {"hosts": ["127.0.0.1"], "why": "a measurement, in vain"}


def test_no_file_of_a_child_at_work_holds_a_key(worker: Worker, owner: Identity, model: OpenAi) -> None:
    work_id, seen = wanted(worker, owner, outside=True), list[str]()

    def answer(_: object) -> str:
        seen.extend(path.read_text() for path in work_folder(worker, work_id).iterdir())
        return "tea"

    model.answer = answer
    assert claim_and_run(worker)
    assert seen
    assert not [text for text in seen if KEY in text]


def test_without_an_inference_server_it_says_so(worker: Worker, owner: Identity) -> None:
    worker.settings = Settings(home=worker.settings.home)
    work_id = wanted(worker, owner)
    assert claim_and_run(worker)
    row = state(worker, work_id)
    assert (row.status, row.error_code) == (RunStatus.FAILED, "no_inference_server")


def test_rows_that_have_gone_and_a_connection_that_has_gone_are_said(worker: Worker, owner: Identity) -> None:
    work_id = wanted(worker, owner, outside=True)
    with unit_of_work(worker.engine) as session:
        session.delete(session.scalars(select(Connection)).one())
    assert claim_and_run(worker)
    assert state(worker, work_id).error_code == "connection_not_found"
    work_id = wanted(worker, owner)
    with unit_of_work(worker.engine) as session:
        session.get_one(Baseline, work_id).version_id = "gone"
    assert claim_and_run(worker)
    assert state(worker, work_id).error_code == "rows_gone"


def test_after_a_lost_child_the_next_attempt_asks_only_what_is_left(worker: Worker, owner: Identity, model: OpenAi) -> None:
    work_id, killed = wanted(worker, owner), list[int]()

    def answer(messages: list[dict[str, str]]) -> str:
        if len(model.asked) == 4 and not killed:
            killed.append(_child_in(work_folder(worker, work_id)))
            os.kill(killed[0], signal.SIGKILL)
        return messages[-1]["content"].split()[-1]

    model.answer = answer
    assert claim_and_run(worker)
    assert state(worker, work_id).status == RunStatus.QUEUED
    assert claim_and_run(worker)
    row = state(worker, work_id)
    assert (row.status, row.attempt, row.done_before) == (RunStatus.SUCCEEDED, 2, 3)
    # The fourth was being asked when the child was killed, and is asked again.
    assert len(model.asked) == 9


def _child_in(folder: Path) -> int:
    """Return the process that works in a folder."""
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has just ended, or is not ours to look at
            if place.samefile(folder):
                return int(place.parent.name)
    message = f"Nobody works in {folder}."
    raise LookupError(message)


def test_cancelling_keeps_nothing(worker: Worker, owner: Identity, model: OpenAi) -> None:
    work_id, asked = wanted(worker, owner), threading.Event()

    def answer(_: object) -> str:
        with unit_of_work(worker.engine) as session:
            row = session.get_one(Baseline, work_id)
            if row.status == RunStatus.RUNNING:
                row.move_to(RunStatus.CANCELLING)
        # The child is told within a second or so, and leaves while it waits for this answer.
        asked.wait(20)
        return "tea"

    model.answer = answer
    assert claim_and_run(worker)
    asked.set()
    assert state(worker, work_id).status == RunStatus.CANCELLED
    assert not work_folder(worker, work_id).exists()


def yielding(worker: Worker, work_id: str, model: OpenAi, then: Callable[[Baseline], None]) -> None:
    """Have the model's GPU train from the third answer on, and do something once the row says that it waits."""

    def answer(messages: list[dict[str, str]]) -> str:
        if len(model.asked) == 3:
            model.troubles.extend(TRAINS)
        return messages[-1]["content"].split()[-1]

    def waiting() -> Baseline | None:
        row = state(worker, work_id)
        return row if row.reason.startswith("The GPU is training") else None

    def watch() -> None:
        row = until(waiting)  # the very row that says so: before it says so again it says how far it is, and nothing else
        then(row)

    model.answer, watching = answer, threading.Thread(target=watch)
    watching.start()
    assert claim_and_run(worker)
    watching.join()


def test_while_a_run_has_the_gpu_it_waits_and_then_goes_on(worker: Worker, owner: Identity, model: OpenAi) -> None:
    work_id, seen = wanted(worker, owner), list[Baseline]()

    def give_back(row: Baseline) -> None:
        seen.append(row)
        model.troubles.clear()

    yielding(worker, work_id, model, give_back)
    [waiting] = seen
    assert (waiting.status, waiting.reason, waiting.done) == (RunStatus.RUNNING, "The GPU is training mails.", 3)
    row = state(worker, work_id)
    assert (row.status, row.reason, row.done, row.attempt) == (RunStatus.SUCCEEDED, "", 8, 1)
    # How long the others take is told by those that came after the wait.
    assert row.done_before == 3


def test_what_waits_for_the_gpu_can_be_called_off(worker: Worker, owner: Identity, model: OpenAi) -> None:
    work_id = wanted(worker, owner)

    def call_off(_: Baseline) -> None:
        with unit_of_work(worker.engine) as session:
            session.get_one(Baseline, work_id).move_to(RunStatus.CANCELLING)

    yielding(worker, work_id, model, call_off)
    row = state(worker, work_id)
    assert (row.status, row.reason) == (RunStatus.CANCELLED, "")
    assert not work_folder(worker, work_id).exists()


def test_a_child_says_how_far_it_is(worker: Worker, owner: Identity) -> None:
    work_id, seen = wanted(worker, owner), list[tuple[str, int, int]]()
    spec = BaselineWork().prepare(worker, work_id, 1)
    child = spec()
    ended = False
    while not ended:
        events, ended = child.drain(0.5)
        seen += [(each.type, getattr(each, "total_steps", 0) or getattr(each, "total", 0), getattr(each, "done", 0)) for each in events]
    child.kill()
    assert seen[:2] == [("started", 0, 0), ("started", 8, 0)]
    assert seen[-1][0] == "finished"
    given = json.loads((work_folder(worker, work_id) / "spec-t1.json").read_text())
    assert "own-key" not in json.dumps(given)
