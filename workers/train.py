"""The trainer: `python -m workers.train SPEC.yaml --out DIR` reads one file, writes events, and leaves an adapter.

Alone it writes DIR/events.jsonl and resumes by itself; under a supervisor it reports on a pipe and takes commands on its
standard input. Either way it is the same run.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from app.domain.base_models import is_hub_id
from app.domain.errors import StudioError
from app.domain.events import Finished
from app.domain.runs import adapter_folder
from app.domain.tracking import Tracking
from workers.lifeline import die_with_parent
from workers.training.base_model import find_base_model, stay_offline
from workers.training.control import Control
from workers.training.failures import last_event
from workers.training.report import Reporter
from workers.training.spec_file import load_spec
from workers.training.talk import Talk
from workers.training.trackers.feed import Trackers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.specs import TrainingSpec

DONE, FAILED, UNUSABLE_SPEC, CUT_OFF = 0, 1, 2, 130
DEFAULT_THREADS = "2"
KEPT_PRODUCTS = "64"
"""How many shapes' products a processor keeps ready; 64 cost nothing that could be measured (docs/engine.md)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trainer and return its exit code."""
    arguments = _arguments(argv)
    supervised = arguments.events_fd is not None
    control = Control()
    control.pause_on(signal.SIGTERM)
    if supervised:
        die_with_parent()
        control.listen(sys.stdin)
    else:
        control.pause_on(signal.SIGINT)
    bound_libraries()
    with _reporter(arguments) as reporter:
        return _run(arguments, reporter, control)


def _run(arguments: argparse.Namespace, reporter: Reporter, control: Control) -> int:
    try:
        spec = load_spec(arguments.spec)
    except StudioError as error:
        print(error.message, file=sys.stderr)
        _end(arguments, reporter, Finished(status="failed", reason=error.message, code=error.code))
        return UNUSABLE_SPEC
    reporter.also_to(Trackers(arguments.out, _tracking(arguments.tracking, spec), reporter.notice))
    finished = _guarded(arguments, spec, reporter, control)
    _end(arguments, reporter, finished)
    if finished.status == "failed":
        print(finished.reason, file=sys.stderr)
        return FAILED
    return CUT_OFF if control.by_keyboard else DONE


def _tracking(given: Tracking, spec: TrainingSpec) -> Tracking:
    """Return what trackers are told of the run's files: the name of the dataset's, without its folder."""
    return given.model_copy(update={"dataset": given.dataset or PurePosixPath(spec.dataset.replace("\\", "/")).name})


def _end(arguments: argparse.Namespace, reporter: Reporter, finished: Finished) -> None:
    reporter.finished(finished)
    if arguments.json:
        print(finished.model_dump_json(), flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.train", description="Train an adapter as a spec says.")
    parser.add_argument("spec", type=Path, help="the spec, a YAML file")
    parser.add_argument("--out", type=Path, required=True, help="folder for adapter, checkpoints and events")
    parser.add_argument("--events-fd", type=int, help="write events to this file descriptor, and take commands on standard input")
    parser.add_argument("--lease-token", type=int, default=0, help="the fence in the names of checkpoints")
    parser.add_argument("--resume", type=Path, help="go on from this checkpoint")
    parser.add_argument("--base-dir", type=Path, help="where the base model lies, whatever the spec calls it")
    parser.add_argument("--cache", type=Path, help="a folder where rows are kept as tokens, for later runs over the same rows")
    parser.add_argument("--tracking", type=Tracking.model_validate_json, default=Tracking(), help="where its numbers also go, as JSON")
    parser.add_argument("--json", action="store_true", help="print the last event on standard output")
    return parser.parse_args(argv)


def bound_libraries() -> None:
    """Bound the threads of every library and what it keeps; they look at the environment when they are imported or first compute."""
    threads = os.environ.get("HONE_TRAINER_THREADS", DEFAULT_THREADS)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = threads
    # Threads that spin long while they wait starve the studio beside them: on two busy cores a step took three times as long. Never
    # to spin costs a quarter of the speed of small steps on a quiet machine; a thousand turns cost an eighth on a busy one
    # (docs/engine.md has the figures).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # torch and oneDNN below it each keep up to a thousand products ready, one for each shape, and hold on to the same ones: where rows vary
    # in length memory grows for hundreds of steps unless both are bounded (docs/engine.md).
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, KEPT_PRODUCTS)


def hush_libraries() -> None:
    """Have bitsandbytes not advise, when it is imported, to fetch kernels from the Hub, which Hone never does."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _reporter(arguments: argparse.Namespace) -> Reporter:
    if arguments.events_fd is not None:
        return Reporter.to_pipe(arguments.events_fd)
    arguments.out.mkdir(parents=True, exist_ok=True)
    return Reporter.to_file(arguments.out / "events.jsonl")


def _guarded(arguments: argparse.Namespace, spec: TrainingSpec, reporter: Reporter, control: Control) -> Finished:
    """Train, and turn whatever goes wrong into a last event: this is the process's outer edge."""
    try:
        return _train(arguments, spec, reporter, control)
    except Exception as error:  # noqa: BLE001 - the outer edge
        return last_event(error, arguments.out, reporter)


def _train(arguments: argparse.Namespace, spec: TrainingSpec, reporter: Reporter, control: Control) -> Finished:
    beside = arguments.spec.resolve().parent
    from workers.training.rows import load_rows

    if arguments.base_dir is not None or not is_hub_id(spec.base_model):
        stay_offline()
    # Before the base, which may take hours to fetch: the rows may lie in a cache that keeps them only for a while.
    reporter.doing("reading the rows")
    rows = load_rows(beside / spec.dataset, beside / spec.eval_dataset if spec.eval_dataset else None)
    base = find_base_model(spec.base_model, beside=beside, base_dir=arguments.base_dir, doing=reporter.doing)
    stay_offline()
    reporter.doing("loading the libraries")
    hush_libraries()
    # Only now the heavy libraries: a wrong path is told at once.
    from workers.training.checkpoints import KEPT, Checkpoints
    from workers.training.progress import ProgressLine
    from workers.training.run import Job, Run
    from workers.training.token_cache import TokenCache

    alone = arguments.events_fd is None
    checkpoints = Checkpoints(arguments.out / "checkpoints", lease_token=arguments.lease_token, keep=KEPT if alone else None)
    resume = arguments.resume or (checkpoints.newest_good() if alone else None)
    cache = TokenCache(arguments.cache) if arguments.cache else None
    job = Job(spec, base, rows, arguments.out / adapter_folder(arguments.lease_token), checkpoints, resume, cache)
    return Run(job, reporter, control, ProgressLine(wanted=alone)).go()


if __name__ == "__main__":
    sys.stdout, sys.stderr = Talk(sys.stdout), Talk(sys.stderr)
    sys.exit(main())
