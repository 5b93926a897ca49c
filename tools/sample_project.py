"""A project with something of everything, put straight into a database: what screenshots and tests of pages look at.

Nothing is trained: curves and answers are made up, and only ever shown to whoever draws or tests pages.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from app.db import Artifact, CheckpointRow, Dataset, DatasetFile, DatasetVersion, EventRow, Import, Run, WorkerRow, metrics
from app.db.base import utc_now
from app.db.run_samples import enter_samples
from app.db.session import unit_of_work
from app.domain.datasets import ROW_GROUP_ROWS, Mapping, Message, Problem, row_hash, split_by_hash
from app.domain.events import Sample as RunSample
from app.domain.runs import ENDED, RunStatus
from app.domain.specs import STARTER, Preset, TrainingSpec, settings_for
from app.services.accounts import Accounts, Identity
from tools.sample_desk import add_desk, add_talks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.services.studio import Studio

SYSTEM = "Sort the e-mail. Answer with JSON: intent, urgency."
MAILS = (
    ("Hi, third time I write!! my invoice for {month} is STILL wrong and nobody answers. {name}", "billing_error", "high"),
    ("Where is my parcel? Tracking shows nothing since {day}.", "delivery_status", "normal"),
    ("please cancle the premium plan before {day}, thx", "cancel_subscription", "normal"),
    ("Your app charged me twice in {month}. I need this fixed today.", "billing_error", "high"),
    ("does the family plan work in portugal? asking for {name}", "plan_question", "low"),
    ("THE EXPORT IS BROKEN AGAIN SINCE {day}", "bug_report", "high"),
    ("My name is {name}, please call me back on {day} about my contract.", "callback", "normal"),
)
NAMES = ("Lena", "Marco", "Ines", "Yusuf", "Grace", "Tomás", "Anya", "Bao")
SAMPLES = (
    (
        17, "My invoice for March is wrong for the third time. Please correct it today.", '{"intent": "billing_error", "urgency": "high"}',
        "My invoice is a document of the month, and the month is March. The invoice is", '{"intent": "billing", "urgency": "normal"}',
        '{"intent": "billing_error", "urgency": "normal"}', '{"intent": "billing_error", "urgency": "high"}',
    ),
    (
        42, "Where is my parcel? Tracking shows nothing since Tuesday.", '{"intent": "delivery_status", "urgency": "normal"}',
        "Where is my parcel? Where is my parcel? Where is my parcel? Where is my", '{"intent": "delivery", "urgency": "high"}',
        '{"intent": "delivery_status", "urgency": "normal"}', '{"intent": "delivery_status", "urgency": "normal"}',
    ),
    (
        96, "Does the family plan work in Portugal? Asking for Inês.", '{"intent": "plan_question", "urgency": "low"}',
        "Portugal is a country in the south-west of Europe. The family", '{"intent": "callback", "urgency": "normal"}',
        '{"intent": "plan_question", "urgency": "normal"}', '{"intent": "plan_question", "urgency": "normal"}',
    ),
)  # fmt: skip
"""Rows that are asked at each checkpoint: number, e-mail, expected answer, the base's answer, later ones."""
FACTS = {"device": "cpu", "precision": "fp32", "threads": 2, "memory_total_bytes": 8_243_912_704}
PACE = {"epochs": 4.0, "batch_size": 16}
"""So that the runs of the sample are as far as they are, whatever the presets choose."""
DAYS = ("Monday", "Tuesday", "Friday", "Sunday")
MONTHS = ("January", "March", "June", "October", "December")
SCHEMA = pa.schema([
    ("row", pa.int64()), ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))), ("split", pa.string()),
    ("hash", pa.string()), ("line", pa.int32()),
])  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """The ids of what was made, by what it shows."""

    datasets: dict[str, str]
    runs: dict[str, str]
    model: str


def conversations(count: int) -> list[list[Message]]:
    """Return e-mails with their answers, none twice."""
    made = []
    for n in range(count):
        text, intent, urgency = MAILS[n % len(MAILS)]
        asked = text.format(name=NAMES[n % len(NAMES)], day=DAYS[n % len(DAYS)], month=MONTHS[n % len(MONTHS)])
        answer = json.dumps({"intent": intent, "urgency": urgency})
        made.append([
            Message(role="system", content=SYSTEM), Message(role="user", content=f"{asked} (case {1000 + n})"),
            Message(role="assistant", content=answer),
        ])  # fmt: skip
    return made


def add_ready(session: Session, studio: Studio, by: Identity, name: str, rows: int) -> Dataset:
    """Put a ready dataset with real rows into the store and the database."""
    talks = conversations(rows)
    hashes = [row_hash(talk) for talk in talks]
    splits = [str(split) for split in split_by_hash(hashes)]
    sha256, size = _store_rows(studio, talks, splits, hashes)
    test = splits.count("test")
    problems = [Problem(line=41, reason="The answer is empty."), Problem(line=318, reason="Not valid JSON: expected ',' at column 88.")]
    report = {
        "status": "ready", "format": "chat", "columns": ["messages"], "rows": rows, "train_rows": rows - test, "test_rows": test,
        "problem_count": len(problems), "problems": [p.model_dump() for p in problems], "sample": [], "sha256": sha256, "encoding": "utf-8",
    }  # fmt: skip
    dataset = _dataset(session, by, name, f"{name}.jsonl", status="ready", report=report, format="chat")
    owned = {"project_id": by.project_id, "created_by": by.user_id}
    artifact = Artifact(kind="rows", filename="rows.parquet", sha256=sha256, size_bytes=size, **owned)
    version = DatasetVersion(dataset=dataset, artifact=artifact, rows=rows, train_rows=rows - test, test_rows=test, **owned)
    session.add_all([artifact, version])
    session.flush()
    dataset.version_id = version.id
    session.flush()
    session.refresh(dataset)
    _tell(session, by, dataset.id, "uploaded", f"{dataset.filename} was uploaded (112,840 bytes).")
    _tell(session, by, dataset.id, "imported", f"{rows:,} rows are ready, 2 were set aside.")
    return dataset


def _store_rows(studio: Studio, talks: list[list[Message]], splits: list[str], hashes: list[str]) -> tuple[str, int]:
    """Write rows as an import does; return the blob's hash and size."""
    messages = [[message.model_dump() for message in talk] for talk in talks]
    columns = {"row": range(len(talks)), "messages": messages, "split": splits, "hash": hashes, "line": range(1, len(talks) + 1)}
    studio.incoming.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=studio.incoming, suffix=".parquet", delete=False) as made:
        path = Path(made.name)
    pq.write_table(pa.table(columns, schema=SCHEMA), path, row_group_size=ROW_GROUP_ROWS, compression="zstd")
    sealed = studio.storage.seal(path)
    studio.storage.put(sealed)
    return sealed.sha256, sealed.size_bytes


def add_unmapped(session: Session, by: Identity) -> Dataset:
    """Put a table whose columns nobody has mapped yet."""
    columns = ["flags", "instruction", "category", "intent", "response"]
    sample = [
        {"flags": "BM", "instruction": "can uhelp me finding information about my order?", "category": "ORDER", "intent": "track_order",
         "response": "Of course. Tell me the order number and I will look it up."},
        {"flags": "BLQ", "instruction": "I need to talk to a human agent", "category": "CONTACT", "intent": "contact_human_agent",
         "response": "I will connect you with a colleague."},
        {"flags": "B", "instruction": "how do I change my delivery address", "category": "SHIPPING", "intent": "change_shipping_address",
         "response": "Open Addresses in your account."},
    ]  # fmt: skip
    report = {
        "status": "needs_mapping", "format": "table", "columns": columns, "sample": sample, "encoding": "utf-8", "delimiter": ",",
        "suggested": Mapping(user="instruction", assistant="response").model_dump(),
    }  # fmt: skip
    return _dataset(session, by, "bitext", "bitext-27k.csv", status="needs_mapping", report=report, format="table")


def add_failed(session: Session, by: Identity) -> Dataset:
    """Put a file that held nothing usable."""
    problems = [Problem(line=n, reason="Not valid JSON: the line is cut off.").model_dump() for n in range(1, 8)]
    report = {"status": "failed", "format": None, "problem_count": 7, "problems": problems}
    reason = "No row of the file is usable: all 7 lines are cut off. Export it again, one JSON object a line."
    return _dataset(session, by, "export-old", "export-old.jsonl", status="failed", report=report, reason=reason, format=None)


def add_importing(session: Session, by: Identity) -> Dataset:
    """Put a large file that is being read just now."""
    dataset = _dataset(session, by, "tickets-2024", "tickets-2024.csv", status="importing", report={}, format=None)
    session.add(
        Import(
            project_id=by.project_id, created_by=by.user_id, dataset_id=dataset.id, queue="cpu", status=RunStatus.RUNNING,
            done_bytes=412_000_000, total_bytes=1_900_000_000, rows_read=302_114, lease_expires_at=4e9,
        )
    )  # fmt: skip
    return dataset


def add_run(
    session: Session,
    by: Identity,
    dataset: Dataset,
    name: str,
    *,
    status: RunStatus,
    step: int | None = 0,
    reason: str = "",
    **settings: Any,
) -> Run:
    """Put a run in some state, with curves up to its step; None is its last."""
    version = dataset.version
    assert version is not None, "runs stand on ready datasets"  # noqa: S101 - a mistake of the caller
    filled = settings_for(Preset.BALANCED, PACE | settings).filled_in(training_rows=version.train_rows, parameters=6_200_000)
    spec = TrainingSpec(base_model=STARTER, dataset=f"{dataset.name}.jsonl", settings=filled)
    total_steps = filled.total_steps(version.train_rows)
    step = total_steps if step is None else step
    run = Run(
        project_id=by.project_id, created_by=by.user_id, name=name, method="sft", preset="balanced", base_model=STARTER,
        spec=spec.model_dump(mode="json"), version=version, total_steps=total_steps, queue="gpu", status=status,
        step=step, reason=reason, lease_token=1, attempt=1 if step else 0, facts=FACTS,
        started_at=utc_now() - timedelta(seconds=0.7 * step) if step else None, finished_at=utc_now() if status in ENDED else None,
        lease_expires_at=4e9,
    )  # fmt: skip
    session.add(run)
    session.flush()
    version.frozen_at = version.frozen_at or utc_now()
    queued = _tell(session, by, run.id, "queued", f"{by.user_name} launched the run.")
    queued.time = (run.started_at or utc_now()) - timedelta(seconds=2)
    if step:
        event = _tell(session, by, run.id, "started", "Training on the CPU with 2 threads, fp32, 27 linear layers adapted.", step=0)
        event.time = run.started_at or utc_now()
        _curves(session, run, step)
        _answers(session, run, step)
        _tell(session, by, run.id, "checkpoint", f"Checkpoint at step {step}.")
    return run


def finish(session: Session, by: Identity, run: Run) -> str:
    """Give a run its model."""
    run.model = f"ft:{STARTER}:{by.project_name}:{run.name}:{run.id[-10:]}"
    run.adapter = Artifact(
        project_id=by.project_id, created_by=by.user_id, kind="adapter", filename="adapter.zip", sha256="5f" * 32, size_bytes=1_482_133
    )
    run.finished_at = (run.started_at or utc_now()) + timedelta(seconds=96)
    _tell(session, by, run.id, "succeeded", "The adapter is packed and checked.")
    return run.model


def fill(studio: Studio) -> Sample:
    """Fill an empty, migrated studio."""
    with unit_of_work(studio.engine) as session:
        by = Accounts(session).ensure_owner()
        failed, unmapped = add_failed(session, by), add_unmapped(session, by)
        desk, talks = add_desk(session, studio, by), add_talks(session, studio, by)
        mails, importing = add_ready(session, studio, by, "support-emails", 683), add_importing(session, by)
        done = add_run(session, by, mails, "emails-balanced", status=RunStatus.SUCCEEDED, step=None)
        model = finish(session, by, done)
        broken = add_run(
            session, by, mails, "emails-wide", status=RunStatus.FAILED, step=12, rank=512,
            reason="This machine's memory is not enough for this run.",
        )  # fmt: skip
        broken.error_code, broken.facts = "out_of_memory_host", broken.facts | {"longest_row": 640, "failure": {"while": "training"}}
        paused = add_run(session, by, mails, "emails-slow", status=RunStatus.PAUSED, step=40)
        cancelled = add_run(session, by, mails, "typo", status=RunStatus.CANCELLED)
        running = add_run(session, by, mails, "emails-long", status=RunStatus.RUNNING, step=223, epochs=9.5)
        queued = add_run(session, by, mails, "emails-qlora", status=RunStatus.QUEUED, tuning="qlora")
        _write_on(session, [done, broken, running, queued])
        _workers(session, running, importing)
        of_age = ((80, talks), (75, desk), (70, failed), (50, unmapped), (49, mails), (47, done), (22, broken), (5, paused), (3, cancelled))
        for hours, thing in of_age:
            _age(session, thing, timedelta(hours=hours))
        Accounts(session).create_key(by, "nightly job")
    runs = {"done": done, "failed": broken, "paused": paused, "running": running, "queued": queued, "cancelled": cancelled}
    sets = {"ready": mails, "unmapped": unmapped, "failed": failed, "importing": importing, "desk": desk, "talks": talks}
    return Sample({name: dataset.id for name, dataset in sets.items()}, {name: run.id for name, run in runs.items()}, model)


def _write_on(session: Session, runs: Sequence[Run]) -> None:
    """Give runs notes, tags and origins, and those with checkpoints the bytes they hold."""
    done, broken, running, queued = runs
    done.notes = "Good enough for the pilot: intents are right, urgency is sometimes one step too high.\n\nNext: try a larger rank."
    done.tags, broken.tags, running.tags, queued.tags = ["pilot", "nightly"], ["nightly", "rank"], ["nightly"], ["memory"]
    broken.cloned_from = running.cloned_from = queued.cloned_from = done.id
    for run in (done, running):
        run.work_bytes, run.checkpoint_step = 18_230, run.step
        for step in (run.step - 25, run.step):
            place = {"lease_token": 1, "path": f"checkpoints/{step}-t1", "size_bytes": 4_512_880}
            session.add(CheckpointRow(run_id=run.id, project_id=run.project_id, step=step, **place))


def _age(session: Session, thing: Run | Dataset, by: timedelta) -> None:
    """Let something, and what happened to it, lie back some time."""
    session.flush()
    thing.created_at -= by
    for event in session.scalars(select(EventRow).where(EventRow.subject_id == thing.id)):
        event.time -= by
    if isinstance(thing, Run):
        thing.started_at = thing.started_at and thing.started_at - by
        thing.finished_at = thing.finished_at and thing.finished_at - by


def _workers(session: Session, run: Run, dataset: Dataset) -> None:
    trainer = WorkerRow(host="bench", pid=4121, queue="gpu", device="CPU, 2 threads", busy_with=run.id)
    reader = WorkerRow(host="bench", pid=4122, queue="cpu", device="CPU", busy_with=dataset.id)
    session.add_all([trainer, reader])
    session.flush()
    run.lease_owner = trainer.id


def _curves(session: Session, run: Run, step: int) -> None:
    points = []
    for n in range(1, step + 1):
        trend = 0.55 + 2.0 * math.exp(-n / 42)
        points.append(metrics.Point(n, "train/loss", trend + 0.09 * math.sin(n * 12.9898) * math.cos(n * 4.1)))
        if n % 25 == 0 or n == step:
            points.append(metrics.Point(n, "eval/loss", trend + 0.12 + 0.00025 * n))
            points.append(metrics.Point(n, "eval/exact_match", min(0.93, 1 - math.exp(-n / 55))))
        if n % 3 == 0:
            points.append(metrics.Point(n, "memory/bytes", 612e6 + 9e6 * math.sin(n / 5)))
    points += [metrics.Point(1, "memory/peak_bytes", 655e6), metrics.Point(min(9, step), "memory/peak_bytes", 684e6)]
    points.append(metrics.Point(step, "train/tokens_per_second", 4512.0))
    metrics.append(session, run.id, 1, points)


def _answers(session: Session, run: Run, step: int) -> None:
    """Let a run answer its prompts, better with every checkpoint."""
    for place, (row, mail, expected, *answers) in enumerate(SAMPLES):
        prompt = [Message(role="system", content=SYSTEM), Message(role="user", content=mail)]
        for n, answer in enumerate(answers):
            asked = RunSample(
                step=round(step * n / (len(answers) - 1)), place=place, origin="held_out", row=row, prompt=prompt, expected=expected,
                answer=answer, is_cut=n == 0,
            )  # fmt: skip
            enter_samples(session, run.id, [asked])


def _dataset(session: Session, by: Identity, name: str, filename: str, **columns: Any) -> Dataset:
    upload = Artifact(
        project_id=by.project_id,
        created_by=by.user_id,
        kind="upload",
        filename=filename,
        sha256=f"{abs(hash(name)):064x}"[:64],
        size_bytes=112_840,
    )
    dataset = Dataset(project_id=by.project_id, created_by=by.user_id, name=name, filename=filename, **columns)
    dataset.files.append(DatasetFile(project_id=by.project_id, created_by=by.user_id, filename=filename, upload=upload))
    session.add_all([upload, dataset])
    session.flush()
    return dataset


def _tell(session: Session, by: Identity, subject: str, kind: str, message: str, **data: Any) -> EventRow:
    event = EventRow(project_id=by.project_id, subject_id=subject, type=kind, message=message, data=data)
    session.add(event)
    return event
