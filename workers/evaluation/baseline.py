"""`python -m workers.evaluation.baseline SPEC.json --events-fd N`: measures what prompts alone reach on a dataset's test rows."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before numpy is there: its threads would turn in circles on cores that answer questions just now.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from app.domain.errors import StudioError
from app.domain.events import Finished, Started
from workers.curation.child import Leave, Reporter, bound_memory, ignore_sigterm, leave_on_sigterm, leave_with
from workers.evaluation.measuring import BaselineSpec, Measuring, with_hosts
from workers.lifeline import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("hone.baseline")
DONE, FAILED, UNUSABLE_SPEC = 0, 1, 2


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
        spec = BaselineSpec.model_validate(json.loads(given.spec.read_bytes()))
        askers = spec.askers(json.loads(sys.stdin.readline()))
    except (OSError, ValueError) as error:
        log.error("The spec %s or its keys cannot be used: %s", given.spec, error)  # noqa: TRY400 - the sentence is enough, a trace is not for people
        return UNUSABLE_SPEC
    die_with_parent()
    return run(partial(Measuring, spec, askers), Reporter(given.events_fd))


def run(begin: Callable[[], Measuring], reporter: Reporter) -> int:
    """Measure, and report how it ended whatever happens: this is the process's outer edge."""
    try:
        leave_on_sigterm()
        # What was answered stays for the next attempt.
        leave_with(sys.stdin, lambda: None)
        bound_memory()
        contacted = _measure(begin(), reporter)
        ignore_sigterm()  # the work is done; leaving now would only report it wrongly
        reporter.emit(Finished(status="succeeded", data={"contacted": contacted}))
    except Leave:
        with suppress(Leave):  # the pipe may be what broke
            reporter.emit(Finished(status="interrupted", reason="It was asked to stop."))
    except StudioError as error:
        return _failed(reporter, error.message, error.code or "invalid", error.data)
    except OSError as error:
        log.exception("input or output failed")
        return _failed(reporter, f"A file could not be read or written: {error.strerror or error}.", "storage")
    except Exception:
        log.exception("the measurement broke")
        return _failed(reporter, "Measuring broke unexpectedly; the worker's log has the details.", "internal")
    return DONE


def _measure(measuring: Measuring, reporter: Reporter) -> list[str]:
    reporter.emit(Started(step=measuring.done, total_steps=measuring.total, message="Asking test rows"))
    try:
        measuring.ask_all(reporter.progress)
    except StudioError as error:
        error.data = with_hosts(error, measuring.contacted)
        raise
    measuring.write_results()
    return measuring.contacted


def _failed(reporter: Reporter, reason: str, code: str, data: dict[str, Any] | None = None) -> int:
    reporter.emit(Finished(status="failed", reason=reason, code=code, data=data or {}))
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
