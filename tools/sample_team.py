"""A team at work, put straight into a database: four people, machines with and without GPUs, and as many runs as a picture wants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import Dataset, User, WorkerRow
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.devices import Device, Disk, as_facts
from app.domain.holds import Hold, with_begun, with_ended
from app.domain.runs import RunStatus
from app.services.accounts import Accounts
from tools.sample_project import add_ready, add_run, finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.db import Run
    from app.services.accounts import Identity
    from app.services.studio import Studio

PEOPLE = ("Lena", "Marco", "Ines", "Yusuf")
TASKS = ("intents", "tone", "pii", "summaries", "routing", "titles", "refunds", "urgency", "languages", "replies")
GIB = 2**30
RECENT = 60
"""How many runs have curves; nobody looks at more at once."""


@dataclass(frozen=True)
class Team:
    """How much of everything there is."""

    running: int = 4
    waiting: int = 5
    done: int = 14
    lost_worker: bool = True


def fill_team(studio: Studio, team: Team | None = None) -> dict[str, str]:
    """Put a team's week beside whatever the studio holds; return the names of its people with their ids."""
    team = team or Team()
    with unit_of_work(studio.engine) as session:
        by = Accounts(session).ensure_owner()
        people = [_person(session, by, name) for name in PEOPLE]
        held = session.scalar(select(Dataset).where(Dataset.name == "team-mails"))
        mails = held or add_ready(session, studio, by, "team-mails", 683)
        workers = _workers(session, max(team.running, 1), lost=team.lost_worker)
        _done(session, people, mails, team.done)
        for n in range(team.running):
            _running(session, people[n % len(people)], mails, workers[n], n)
        for n in range(team.waiting):
            is_paused = n % 4 == 3  # noqa: PLR2004 - every fourth
            add_run(
                session, people[(n + 1) % len(people)], mails, f"{TASKS[n % 10]}-next-{n}", step=31 if is_paused else 0,
                status=RunStatus.PAUSED if is_paused else RunStatus.QUEUED, **({"device": "gpu"} if n % 3 == 1 else {}),
            )  # fmt: skip
    return {person.user_name: person.user_id for person in people}


def _person(session: Session, by: Identity, name: str) -> Identity:
    user = session.scalar(select(User).where(User.name == name)) or User(name=name, role="member")
    session.add(user)
    session.flush()
    return replace(by, user_id=user.id, user_name=name)


def _running(session: Session, by: Identity, mails: Dataset, worker: WorkerRow, n: int) -> None:
    run = add_run(session, by, mails, f"{TASKS[n % 10]}-v{n + 2}", status=RunStatus.RUNNING, step=17 + 29 * (n % 12), epochs=9.5)
    run.lease_owner, worker.busy_with = worker.id, run.id
    begun = (run.started_at or utc_now()).timestamp()
    earlier = with_ended(with_begun(run.facts, Hold(begin=begun - 5400, host=worker.host, device=worker.device)), begun - 4000)
    run.facts = with_begun(earlier, Hold(begin=begun - 3, host=worker.host, device=worker.device))
    run.attempt = 2
    run.tags = ["nightly"] if n % 2 else []


def _done(session: Session, people: Sequence[Identity], mails: Dataset, number: int) -> None:
    ends = (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.STOPPED)
    for n in range(number):
        by, status = people[(n * 3) % len(people)], ends[n % len(ends)]
        steps = 60 + 13 * (n % 9) if n < RECENT else 0
        run = add_run(session, by, mails, f"{TASKS[n % 10]}-{n}", status=status, step=steps, reason=_reason(status))
        if status == RunStatus.SUCCEEDED:
            run.total_steps = max(run.step, 1)
            finish(session, by, run)
        _move_back(run, hours=3.7 * n + 0.4)
        run.tags = ["nightly"] if n % 3 == 0 else []


def _move_back(run: Run, *, hours: float) -> None:
    """Let a run have ended some hours ago, after a time on a worker that its steps suggest."""
    ended = utc_now() - timedelta(hours=hours)
    begun = ended - timedelta(minutes=8 + run.step / 4)
    run.created_at, run.started_at, run.finished_at, run.lease_expires_at = begun - timedelta(minutes=2), begun, ended, None
    run.attempt = 1
    held = with_begun(run.facts, Hold(begin=begun.timestamp() - 4, host="bench", device="CPU, 16 cores"))
    run.facts = with_ended(held, ended.timestamp())


def _reason(status: RunStatus) -> str:
    return "Memory ran out at step 60: take a smaller batch." if status == RunStatus.FAILED else ""


def _workers(session: Session, number: int, *, lost: bool) -> list[WorkerRow]:
    """Put as many trainers as there are runs, one that reads files, and one that nobody has heard of for a while."""
    l4 = Device(
        name="NVIDIA L4", kind="gpu", total_bytes=23 * GIB, used_bytes=19 * GIB, ours_bytes=14 * GIB, utilisation=0.97, temperature_c=86,
        power_watts=70.9, power_limit_watts=72,
    )  # fmt: skip
    cooler = {"temperature_c": 64, "power_watts": 48.2}
    calm = l4.model_copy(update={"used_bytes": 6 * GIB, "ours_bytes": 6 * GIB, "utilisation": 0.61, **cooler})
    cpu = Device(
        name="CPU, 16 cores", kind="cpu", total_bytes=64 * GIB, used_bytes=21 * GIB, ours_bytes=3 * GIB, utilisation=0.4,
        processor="AMD EPYC 7B13", cores=16, disk=Disk(total_bytes=960 * 10**9, free_bytes=412 * 10**9),
    )  # fmt: skip
    t4 = Device(name="NVIDIA T4", kind="gpu", total_bytes=15 * GIB, used_bytes=9 * GIB)
    kinds = [("forge", l4), ("forge", calm), ("bench", cpu), ("attic", t4)]
    made = []
    for n in range(number):
        host, device = kinds[n % len(kinds)]
        name, is_gpu, facts = device.name, device.kind == "gpu", as_facts([device])
        made.append(WorkerRow(host=f"{host}-{n // 4 + 1}", pid=4100 + n, queue="gpu", device=name, has_gpu=is_gpu, facts=facts))
    reader = WorkerRow(host="bench-1", pid=4300, queue="cpu", device="CPU, 16 cores", facts=as_facts([cpu]))
    session.add_all([*made, reader])
    if lost:
        session.add(
            WorkerRow(host="cellar", pid=911, queue="gpu", device="NVIDIA T4", has_gpu=True, updated_at=utc_now().timestamp() - 740)
        )
    session.flush()
    return made
