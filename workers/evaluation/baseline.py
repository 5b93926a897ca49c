"""`python -m workers.evaluation.baseline SPEC.json --events-fd N`: measures what prompts alone reach on a dataset's test rows."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

# Before numpy is there: its threads would turn in circles on cores that answer questions just now.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from app.domain.errors import StudioError
from app.domain.events import Doing, Finished, Started
from workers.curation.child import UNUSABLE_SPEC, Reporter, bound_memory, leave_with, see_through
from workers.evaluation.measuring import BaselineSpec, Measuring
from workers.lifeline import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.evaluation.asking import Asker

log = logging.getLogger("hone.baseline")
WORDS: dict[type[Exception], str] = {
    MemoryError: "The measurement needed more memory than it may use. Are some rows very long?",
    Exception: "Measuring broke unexpectedly; the log has the details.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the first line of standard input has the key of each model as JSON, in the order of the spec."""
    parser = argparse.ArgumentParser(prog="python -m workers.evaluation.baseline", description=__doc__)
    parser.add_argument("spec", type=Path, help="JSON file: the rows, the plan, whom to ask, where answers go")
    parser.add_argument("--events-fd", type=int, required=True, help="inherited descriptor for events")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    # Each request would be a line, and say nothing of how far this is.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        spec = BaselineSpec.model_validate_json(given.spec.read_bytes())
        askers = spec.askers(json.loads(sys.stdin.readline()))
    except (OSError, ValueError) as error:
        log.error("The spec %s or its keys cannot be used: %s", given.spec, error)  # noqa: TRY400 - the sentence is enough
        return UNUSABLE_SPEC
    die_with_parent()
    bound_memory()
    listen = partial(leave_with, sys.stdin, lambda: None)  # what was answered stays for the next attempt
    return see_through(Reporter(given.events_fd), partial(measure, spec, askers), doing="Choosing rows", words=WORDS, listen=listen)


def measure(spec: BaselineSpec, askers: Sequence[Asker], reporter: Reporter) -> Finished:
    """Ask, sum up, and tell which hosts outside were spoken to, whatever becomes of it."""
    measuring = Measuring(spec, askers)
    reporter.emit(Started(step=measuring.done, total_steps=measuring.total, message="Asking test rows"))
    try:
        measuring.ask_all(reporter.progress, lambda why: reporter.emit(Doing(what=why)))
    except StudioError as error:
        error.data["contacted"] = measuring.contacted
        raise
    measuring.write_results()
    return Finished(status="succeeded", data={"contacted": measuring.contacted})


if __name__ == "__main__":
    sys.exit(main())
