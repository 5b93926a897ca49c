"""What was foretold of runs beside what they took, prompts that were measured, and a model on its way here, put into a team's studio.

Nothing was measured: figures and answers are made up, and only ever shown to whoever draws or tests pages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from app.db import Baseline, Download, metrics
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.baselines import AskedModel, Plan, RowSaid, Said, Way, sum_up
from app.domain.holds import Hold, with_begun, with_ended
from app.domain.metrics import Shape, scores_of
from app.domain.runs import RunStatus
from app.domain.specs import STARTER, TrainingSpec
from app.services.accounts import Accounts
from app.services.bases import measures
from app.services.datasets import IMPORT_QUEUE
from app.services.estimates import Estimates, work_of
from app.services.predictions import foretell
from tools.sample_project import add_ready, add_run, conversations, finish

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.db import Dataset, Run
    from app.services.accounts import Identity
    from app.services.studio import Studio

SHARES = ((0.93, 1.06, "cpu"), (1.04, 0.88, "cpu"), (0.78, 1.51, "auto"))
"""Of each run: its peak and its seconds as shares of what was foretold, and where it was to go."""
RIGHT = {Way.ZERO_SHOT: 0.22, Way.FEW_SHOT: 0.61, Way.RETRIEVAL: 0.70}
"""Which share of the rows each way gets right."""
WRONG = ('{"intent": "callback", "urgency": "normal"}', "The customer wants an answer.", '{"intent": "billing_error"}')
WAYS_SECONDS = {Way.ZERO_SHOT: 0.41, Way.FEW_SHOT: 0.97, Way.RETRIEVAL: 0.83}
ROWS, TEST_ROWS, TRAINING_ROWS = 24, 68, 615
SIZE, DONE = 3_087_467_144, 1_914_230_272


@dataclass(frozen=True)
class Measured:
    """The ids of what pictures show one by one."""

    run: str
    elsewhere: str
    baseline: str
    failed: str
    asking: str


def fill_measured(studio: Studio) -> Measured:
    """Put them beside a team of three workers at least: what is foretold depends on their devices, one of which is a CPU."""
    with unit_of_work(studio.engine) as session:
        by = Accounts(session).ensure_owner()
        mails = add_ready(session, studio, by, "measured-mails", TEST_ROWS + TRAINING_ROWS)
        runs = [_foretold(session, studio, by, mails, n) for n in range(len(SHARES))]
        elsewhere = _foretold(session, studio, by, mails, 0, host="attic", device="NVIDIA T4")
        baseline = _baseline(session, by, mails, RunStatus.SUCCEEDED)
        _answer(baseline)
        failed = _baseline(session, by, mails, RunStatus.FAILED)
        failed.error_code, failed.done = "model_away", 11
        failed.reason = "hone-starter answers 503: The inference server is starting again."
        asking = _baseline(session, by, mails, RunStatus.RUNNING)
        asking.done, asking.finished_at = 29, None
        session.add_all(_downloads(by))
        session.flush()
        return Measured(runs[0].id, elsewhere.id, baseline.id, failed.id, asking.id)


def _foretold(session: Session, studio: Studio, by: Identity, mails: Dataset, n: int, *, host: str = "", device: str = "") -> Run:
    """Put a run that has ended with its estimate, and let it have taken what the shares say, perhaps on another device than foretold."""
    of_memory, of_time, wanted = SHARES[n]
    run = add_run(session, by, mails, f"foretold-{n}{'-elsewhere' * bool(host)}", status=RunStatus.SUCCEEDED, step=None, device=wanted)
    settings = TrainingSpec.model_validate(run.spec).settings
    arch, version = measures(studio, STARTER), mails.version
    assert arch is not None, "the starter model lies in the tree"  # noqa: S101 - a mistake of the caller
    assert version is not None, "the dataset is ready"  # noqa: S101 - a mistake of the caller
    estimates = Estimates(session)
    planned = (arch, settings, work_of(version, settings, version.train_rows))
    run.estimate = foretell(planned, estimates.targets(by), estimates.prices(by))
    finish(session, by, run)
    begun = utc_now() - timedelta(hours=3 + n)
    ended = begun + timedelta(seconds=of_time * run.estimate["time"]["seconds"])
    run.started_at, run.finished_at, run.lease_expires_at = begun + timedelta(seconds=1), ended, None
    hold = Hold(begin=begun.timestamp(), host=host or "bench", device=device or run.estimate["device"]["name"])
    run.facts = with_ended(with_begun(run.facts, hold), ended.timestamp())
    peak = metrics.Point(run.step, "memory/peak_bytes", of_memory * run.estimate["memory"]["total"])
    metrics.append(session, run.id, 1, [peak])
    return run


def _baseline(session: Session, by: Identity, mails: Dataset, status: RunStatus) -> Baseline:
    plan = Plan(dataset=mails.name, models=(AskedModel(name=STARTER),), methods=tuple(Way), k=4, rows=ROWS, max_tokens=256)
    made = Baseline(
        project_id=by.project_id, created_by=by.user_id, dataset_id=mails.id, version_id=mails.version_id, queue=IMPORT_QUEUE,
        status=status, plan=plan.model_dump(mode="json"), done=plan.asked, total=plan.asked, lease_token=1, lease_expires_at=4e9,
        started_at=utc_now() - timedelta(seconds=41), finished_at=utc_now(),
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def _answer(row: Baseline) -> None:
    """Enter what each way answered, and its sums."""
    plan = Plan.model_validate(row.plan)
    asked = [
        RowSaid(row=26 * n + 3, prompt=talk[1].content, expected=talk[2].content, said=()) for n, talk in enumerate(conversations(ROWS))
    ]
    rows = [each.model_copy(update={"said": tuple(_said(each, way, n) for way in Way)}) for n, each in enumerate(asked)]
    results = sum_up(
        plan, [said for each in rows for said in each.said], Shape.JSON, rows=ROWS, test_rows=TEST_ROWS, training_rows=TRAINING_ROWS
    )
    row.results = results.model_dump(mode="json")
    row.answers = {"rows": [each.model_dump(mode="json", exclude_defaults=True) for each in rows]}


def _said(asked: RowSaid, way: Way, n: int) -> Said:
    is_right = (n * 7) % ROWS < RIGHT[way] * ROWS
    text = json.dumps(json.loads(asked.expected), indent=1) if is_right else WRONG[n % len(WRONG)]
    shown = () if way is Way.ZERO_SHOT else tuple(asked.row + off for off in (12, 41, 77, 130))
    return Said(
        model=0, way=way, row=asked.row, text=text, seconds=WAYS_SECONDS[way], examples=shown, prompt_tokens=61 + 74 * len(shown),
        answer_tokens=19, scores=scores_of(Shape.JSON, asked.expected, text),
    )  # fmt: skip


def _downloads(by: Identity) -> list[Download]:
    """Return one that goes on, one that failed and one that is here."""
    made = [
        Download(
            project_id=by.project_id, created_by=by.user_id, queue=IMPORT_QUEUE, repo=repo, revision=f"{n}f3c91a7" * 5, status=status,
            done_bytes=done, total_bytes=SIZE, lease_token=1, lease_expires_at=4e9, started_at=utc_now() - timedelta(minutes=4),
        )
        for n, (repo, status, done) in enumerate((
            ("Qwen/Qwen2.5-1.5B-Instruct", RunStatus.RUNNING, DONE), ("HuggingFaceTB/SmolLM2-1.7B-Instruct", RunStatus.FAILED, DONE // 3),
            ("ibm-granite/granite-3.3-2b-instruct", RunStatus.SUCCEEDED, SIZE),
        ))
    ]  # fmt: skip
    _, failed, here = made
    failed.reason, failed.error_code = (
        "The Hub broke off after 0.64 GB. What is here is kept: go on when the network is back.",
        "source_away",
    )
    failed.finished_at = here.finished_at = utc_now() - timedelta(minutes=2)
    return made
