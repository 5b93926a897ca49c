"""What is foretold of a run when it is launched, what became of that, and what past runs have shown of their devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from app.db import Run
from app.db.metrics import MetricLatest
from app.domain.estimates import here_of, side_by_side
from app.domain.holds import FACT, holds_of, seconds_held
from app.domain.predictions import ENOUGH_STEPS, Foretold, Learned, Outcome, Shown, accuracy, computed, learned_of, running
from app.domain.runs import ENDED, RunStatus
from app.domain.time_estimate import SPELT, Sample, answering_of, flops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from app.domain.architectures import Architecture
    from app.domain.estimates import Target
    from app.domain.packs import Work
    from app.domain.predictions import Accuracy, Compared
    from app.domain.prices import PriceTable
    from app.domain.specs import TrainingSettings
    from app.services.accounts import Identity

PEAK = "memory/peak_bytes"
LATEST = 200
"""How many runs are looked at, the newest."""
COLUMNS = (
    Run.id, Run.name, Run.status, Run.step, Run.total_steps, Run.estimate, Run.facts[FACT].label("holds"),
    Run.started_at, Run.finished_at,
)  # fmt: skip
OPERATIONS = Run.estimate["flops"].as_float()
NUMBERS = func.coalesce(Run.facts["precision"].as_string(), Run.estimate["precision"].as_string())
"""What a run computed in, as its trainer told; else as it was foretold."""
PER_TOKEN = Run.estimate["per_token"].as_float()
ANSWERING, AT_MOST = Run.estimate["answering"].as_float(), Run.estimate["answering_at_most"].as_float()
TOKENS, MEAN_TOKENS = Run.estimate["tokens"].as_float(), Run.estimate["work", "mean_tokens"].as_float()
COMPUTED_SHARE = Run.estimate["work", "computed_share"].as_float()
BATCH_SIZE = Run.spec["settings", "batch_size"].as_integer()
OF_DEVICES = (
    Run.step,
    Run.started_at,
    Run.facts[FACT].label("holds"),
    OPERATIONS.label("flops"),
    NUMBERS.label("numbers"),
    PER_TOKEN.label("per_token"),
    ANSWERING.label("answering"),
    AT_MOST.label("answering_at_most"),
    TOKENS.label("tokens"),
    MEAN_TOKENS.label("mean_tokens"),
    COMPUTED_SHARE.label("computed_share"),
    BATCH_SIZE.label("batch_size"),
)


class Record(NamedTuple):
    """How good the predictions of a project's runs were, the newest run first."""

    outcomes: list[Outcome]
    memory: Accuracy
    time: Accuracy
    money: Accuracy
    learned: dict[str, Learned]

    def running(self, name: str) -> list[float]:
        """Return the running error of memory, time or money, from the oldest run to the newest."""
        known: list[Compared | None] = [getattr(each, name) for each in reversed(self.outcomes)]
        return running([each for each in known if each])


def foretell(planned: tuple[Architecture, TrainingSettings, Work], targets: Sequence[Target], prices: PriceTable) -> dict[str, Any]:
    """Return what a run's record keeps of its estimate on the device it will go to; nothing where no worker has told of one."""
    arch, settings, work = planned
    here = here_of(side_by_side(arch, settings, work, [each for each in targets if each.is_own], prices), settings.device)
    if here is None:
        return {}
    needed = flops(arch, settings, work, here.memory)
    answering = answering_of(needed, here.target.rate(here.numbers, needed.per_token), here.target.beside)
    return here.to_json() | {
        "flops": needed.total, "tokens": needed.tokens, "per_token": needed.per_token,
        "answering": answering.likely, "answering_at_most": answering.high, "work": work.model_dump(), "currency": prices.currency,
    }  # fmt: skip


def learned_devices(session: Session) -> dict[str, Learned]:
    """Return what the newest runs of this studio have shown of each device: nothing of what they were about."""
    # Of each record one number is read: pages ask for this at every changed field, and whole estimates would take most of their time.
    query = (
        select(*OF_DEVICES)
        .where(Run.step >= ENOUGH_STEPS, Run.status.in_(ENDED), OPERATIONS > 0, PER_TOKEN > 0, TOKENS > 0, BATCH_SIZE > 0)
        .where(NUMBERS.in_(SPELT))
        .order_by(Run.id.desc())
        .limit(LATEST)
    )
    return learned_of(shown for run in session.execute(query) if (shown := _shown(run)))


def record_of(session: Session, by: Identity) -> Record:
    """Return how good the predictions of a project's runs were."""
    query = select(*COLUMNS).where(Run.project_id == by.project_id, Run.status.in_(ENDED)).order_by(Run.id.desc()).limit(LATEST)
    runs = [run for run in session.execute(query) if run.estimate]
    peaks = _peaks(session, [run.id for run in runs])
    outcomes = [found for run in runs if (found := _outcome(run, peaks.get(run.id)))]
    memory, time, money = (accuracy(getattr(each, name) for each in outcomes) for name in ("memory", "time", "money"))
    return Record(outcomes, memory, time, money, learned_devices(session))


def outcome_of(session: Session, run: Run) -> Outcome | None:
    """Return what became of what was foretold of one run, as far as it has come; None where nothing was."""
    row = session.execute(select(*COLUMNS).where(Run.id == run.id)).one()
    return _outcome(row, _peaks(session, [run.id]).get(run.id))


def _peaks(session: Session, ids: Sequence[str]) -> dict[str, float]:
    query = select(MetricLatest.run_id, MetricLatest.value).where(MetricLatest.run_id.in_(ids), MetricLatest.name == PEAK)
    return dict(session.execute(query).all())


def _outcome(run: Row[Any], peak: float | None) -> Outcome | None:
    foretold = Foretold.of(run.estimate)
    if foretold is None:
        return None
    holds = holds_of({FACT: run.holds})
    device = holds[-1].device if holds else foretold.device.name
    is_elsewhere = any(hold.device != foretold.device.name for hold in holds)
    seconds = _seconds(run) if run.status == RunStatus.SUCCEEDED else 0.0
    fair = None if is_elsewhere else foretold
    return Outcome(
        run.id, run.name, device, run.finished_at, is_elsewhere,
        memory=fair.compare_memory(peak) if fair and peak else None,
        time=fair.compare_time(seconds) if fair else None,
        money=fair.compare_money(seconds) if fair else None,
        currency=foretold.currency,
    )  # fmt: skip


def _seconds(run: Row[Any]) -> float:
    """Return for how long workers held a run that has ended."""
    holds = holds_of({FACT: run.holds})
    return seconds_held(holds, until=holds[-1].end or holds[-1].begin) if holds else 0.0


def _shown(run: Row[Any]) -> Shown | None:
    """Return what a run that was held once, without a break, has shown; a second attempt begins anew and repeats steps."""
    holds = holds_of({FACT: run.holds})
    if len(holds) != 1 or run.started_at is None:
        return None
    startup = max(0.0, run.started_at.timestamp() - holds[0].begin)
    # All steps are full but the last, which may be a short one.
    share = min(1.0, run.step * run.batch_size * run.mean_tokens * run.computed_share / run.tokens)
    held = _seconds(run) - startup
    seconds, least = (computed(held, (answering or 0.0) * share) for answering in (run.answering, run.answering_at_most))
    return Shown(holds[0].device, Sample(run.flops * share, seconds, run.per_token, least), startup, run.numbers)
