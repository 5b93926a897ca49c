"""`python -m workers.curation.ingest SPEC.json --events-fd N`: one task on a dataset's files or rows, in bounded memory.

The spec's `task` says which, and the rest is what that task wants. Each task loads only what it needs itself.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before numpy is there: its threads would wait for work by turning in circles, on cores that have work to do.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pyarrow as pa

from app.domain.events import Finished
from workers.curation.child import UNUSABLE_SPEC, Reporter, bound_memory, leave_with, remove, see_through
from workers.lifeline import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import BaseModel

    Outcome = tuple[dict[str, Any], str]
    """What is reported, and a sentence for people unless all is well."""
    Loaded = tuple[type[BaseModel], Callable[[Any, Reporter], Outcome]]

log = logging.getLogger("hone.ingest")
WORDS: dict[type[Exception], str] = {
    MemoryError: "Reading the file needed more memory than an import may use. Split it, or shorten its longest rows.",
    Exception: "Working on the rows broke unexpectedly; the log has the details.",
}
SECONDS_BEFORE_ANOTHER_THREAD = 0.0005
"""Rows are packed in a thread that wants Python only now and then; by default it would wait longer for that than it then works."""
OBJECTS_BEFORE_A_SEARCH = 100_000
"""Rows leave no rings of objects behind, and to look for such among all that was loaded takes as long as reading many rows."""


def _import() -> Loaded:
    from workers.curation.importing import ImportSpec, import_file

    def run(spec: ImportSpec, reporter: Reporter) -> Outcome:
        report, reason = import_file(spec, reporter.progress)
        return report.model_dump(mode="json"), reason

    return ImportSpec, run


def _check() -> Loaded:
    from workers.curation.checking import CheckSpec, check

    def run(spec: CheckSpec, reporter: Reporter) -> Outcome:
        return check(spec, reporter.progress), ""

    return CheckSpec, run


def _fix() -> Loaded:
    from workers.curation.fixing import FixSpec, apply_fix

    def run(spec: FixSpec, reporter: Reporter) -> Outcome:
        return apply_fix(spec, reporter.progress), ""

    return FixSpec, run


def _fetch() -> Loaded:
    from workers.curation.fetching import FetchSpec, fetch

    def run(spec: FetchSpec, reporter: Reporter) -> Outcome:
        found = fetch(spec, reporter.progress)
        files = [each.model_dump(mode="json") | {"path": str(each.path.relative_to(spec.out.parent))} for each in found.files]
        return {"fetched": files, "contacted": found.contacted}, ""

    return FetchSpec, run


TASKS: dict[str, Callable[[], Loaded]] = {"import": _import, "check": _check, "fix": _fix, "fetch": _fetch}
DOING = {
    "import": "Reading files", "check": "Looking at the rows", "fix": "Changing the rows", "fetch": "Fetching files"
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Do one task; without --events-fd the events go to standard output and nobody is listened to."""
    parser = argparse.ArgumentParser(prog="python -m workers.curation.ingest", description=__doc__)
    parser.add_argument("spec", type=Path, help="JSON file: task (import, check, fix, fetch), and what that wants")
    parser.add_argument("--events-fd", type=int, default=None, help="inherited descriptor for events; default: standard output")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        wanted = json.loads(given.spec.read_bytes())
        task = str(wanted.pop("task", "import"))
        model, work = TASKS[task]()
        spec = model.model_validate(wanted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.error("The spec %s cannot be used: %s", given.spec, error)  # noqa: TRY400 - the sentence is enough, a trace is not for people
        return UNUSABLE_SPEC
    if given.events_fd is None:
        return run(task, partial(work, spec), Reporter(sys.stdout.fileno()))
    die_with_parent()
    tidy_up = partial(_remove_parts, Path(wanted["out"]))
    return run(task, partial(work, spec), Reporter(given.events_fd), commands=sys.stdin, tidy_up=tidy_up)


def _remove_parts(out: Path) -> None:
    """Remove what was begun: a child writes nothing but its output and files beside it that begin with the same name."""
    remove(out.parent.glob(f"{out.stem}.*"))


def run(
    task: str, work: Callable[[Reporter], Outcome], reporter: Reporter, *, commands: Iterable[str] = (),
    tidy_up: Callable[[], None] | None = None,
) -> int:  # fmt: skip
    """Do the task, and report how it ended whatever happens."""

    def listen() -> None:
        if tidy_up is not None:
            leave_with(commands, tidy_up)

    def bounded(reporter: Reporter) -> Finished:
        _bound_resources()
        report, reason = work(reporter)
        return Finished(status="succeeded", reason=reason, data=report)

    return see_through(reporter, bounded, doing=DOING[task], words=WORDS, listen=listen)


def _bound_resources() -> None:
    """One thread and the system's allocator: Arrow's own reserve address space by the gigabyte."""
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    sys.setswitchinterval(SECONDS_BEFORE_ANOTHER_THREAD)
    gc.freeze()
    gc.set_threshold(OBJECTS_BEFORE_A_SEARCH)
    bound_memory()


if __name__ == "__main__":
    sys.exit(main())
