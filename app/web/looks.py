"""States as a person sees them: an icon, a word and a tone; and a run's story in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.datasets import DatasetStatus
from app.domain.runs import ENDED, LEASED, REQUESTS, RunStatus
from app.services.workers import WorkerState
from app.web import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db import Run
    from app.db.metrics import Point


@dataclass(frozen=True)
class Look:
    """How a state is shown; colour only repeats what icon and word say."""

    word: str
    icon: str
    tone: str = ""


RUN_LOOKS = {
    RunStatus.QUEUED: Look("Waiting", "waiting", "wait"),
    RunStatus.STARTING: Look("Starting", "running", "run"),
    RunStatus.RUNNING: Look("Running", "running", "run"),
    RunStatus.FINALIZING: Look("Finishing", "running", "run"),
    RunStatus.SUCCEEDED: Look("Done", "done", "ok"),
    RunStatus.PAUSING: Look("Pausing", "pause", "wait"),
    RunStatus.PAUSED: Look("Paused", "pause", "wait"),
    RunStatus.STOPPING: Look("Stopping", "stop", "wait"),
    RunStatus.STOPPED: Look("Stopped", "stop"),
    RunStatus.CANCELLING: Look("Cancelling", "cancel", "wait"),
    RunStatus.CANCELLED: Look("Cancelled", "cancel"),
    RunStatus.FAILED: Look("Failed", "failed", "bad"),
}
DATASET_LOOKS = {
    DatasetStatus.IMPORTING: Look("Importing", "running", "run"),
    DatasetStatus.NEEDS_MAPPING: Look("Needs mapping", "waiting", "wait"),
    DatasetStatus.READY: Look("Ready", "done", "ok"),
    DatasetStatus.FAILED: Look("Failed", "failed", "bad"),
}
WORKER_LOOKS = {
    WorkerState.IDLE: Look("Idle", "check", "ok"),
    WorkerState.BUSY: Look("Busy", "running", "run"),
    WorkerState.SILENT: Look("Silent", "waiting", "wait"),
    WorkerState.LOST: Look("Lost", "failed", "bad"),
}


@dataclass(frozen=True)
class Action:
    """Something one may ask of a run now."""

    name: str
    label: str
    icon: str
    help: str
    kind: str = ""


ACTIONS = (
    Action("pause", "Pause", "pause", "Keeps a checkpoint and frees the worker; resume goes on from there."),
    Action("stop", "Stop and keep", "stop", "Ends here. What was learned becomes a usable model, and a checkpoint stays to resume from."),
    Action("resume", "Resume", "resume", "Goes on from the newest checkpoint.", "go"),
    Action("cancel", "Cancel", "cancel", "Ends at once; nothing but the record is kept.", "bad"),
)


def actions_for(status: str) -> list[Action]:
    """Return what may be asked of a run in this state."""
    return [action for action in ACTIONS if RunStatus(status) in REQUESTS[action.name]]


def run_look(status: str) -> Look:
    """Return how a run's state is shown."""
    return RUN_LOOKS[RunStatus(status)]


def dataset_look(status: str) -> Look:
    """Return how a dataset's state is shown."""
    return DATASET_LOOKS[DatasetStatus(status)]


def is_live(status: str) -> bool:
    """Return whether a run's page still changes by itself."""
    return RunStatus(status) not in ENDED


def is_working(status: str) -> bool:
    """Return whether a worker holds the run."""
    return RunStatus(status) in LEASED


def title(run: Run) -> str:
    """Return what a browser's tab says of a run: how far it is while it works, then how it ended."""
    if is_live(run.status) and is_working(run.status):
        return f"{100 * run.step // (run.total_steps or 1)} % · {run.name}"
    return f"{run_look(run.status).word}: {run.name}"


def trend(points: Sequence[Point], *, has_ended: bool = False) -> str:
    """Return how held-out loss moves, or moved, in words: by its last check against the one before and the best."""
    if len(points) < 2:  # noqa: PLR2004 - one value has no direction
        return " before it began" if points and not points[0].step else ""
    last, before, best = points[-1].value, points[-2].value, min(point.value for point in points)
    if last <= best:
        is_falling = before - last > 0.01 * abs(before)
        if has_ended:
            return " and falling to the end" if is_falling else ", its best"
        return " and still falling" if is_falling else ", its best so far"
    if words.number(last) == words.number(best):
        return ", level with its best"
    return f", after its best of {words.number(best)}"


def sentence(run: Run, loss: float | None, held_out: Sequence[Point], waiting: str) -> str:
    """Return a run's state as a sentence for its heading."""
    status = RunStatus(run.status)
    tail = "" if loss is None else f", held-out loss {words.number(loss)}{trend(held_out, has_ended=status in ENDED)}"
    done = words.plural(run.step, "step")
    return {
        RunStatus.QUEUED: f"Waiting to {'go on' if run.step else 'start'}. {waiting}".strip(),
        RunStatus.STARTING: "Starting: loading the base model and the rows",
        RunStatus.RUNNING: f"Step {words.count(run.step)} of {words.count(run.total_steps)}{tail}",
        RunStatus.FINALIZING: "All steps done, packing the adapter",
        RunStatus.SUCCEEDED: f"Done after {done}{tail}",
        RunStatus.PAUSING: "Pausing: the last step is being saved",
        RunStatus.PAUSED: f"Paused at step {words.count(run.step)} of {words.count(run.total_steps)}",
        RunStatus.STOPPING: "Stopping: what was learned so far is being saved",
        RunStatus.STOPPED: f"Stopped after {done}{tail}",
        RunStatus.CANCELLING: "Cancelling",
        RunStatus.CANCELLED: f"Cancelled {f'after {done}' if run.step else 'before the first step'}; nothing was kept",
        RunStatus.FAILED: f"Failed at step {words.count(run.step)} of {words.count(run.total_steps)}"
        if run.step
        else "Failed before the first step",
    }[status]
