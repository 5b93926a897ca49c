"""`python -m workers.curation.ingest SPEC.json --events-fd N`: turn an uploaded file into Parquet and a report, in bounded memory."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import ValidationError

from app.domain.events import Finished, Started
from workers.curation.child import Leave, Reporter, bound_memory, ignore_sigterm, leave_on_sigterm, leave_with, remove
from workers.curation.importing import ImportSpec, import_file
from workers.curation.parquet import part_of
from workers.lifeline import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = logging.getLogger("hone.ingest")
OUT_OF_MEMORY = "Reading the file needed more memory than an import may use. Split it, or shorten its longest rows."
DONE, FAILED, UNUSABLE_SPEC = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one import; without --events-fd the events go to standard output and nobody is listened to."""
    parser = argparse.ArgumentParser(prog="python -m workers.curation.ingest", description=__doc__)
    parser.add_argument("spec", type=Path, help="JSON file: source, filename, out, mapping, system")
    parser.add_argument("--events-fd", type=int, default=None, help="inherited descriptor for events; default: standard output")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        spec = ImportSpec.model_validate_json(given.spec.read_bytes())
    except (OSError, ValidationError) as error:
        log.error("The spec %s cannot be used: %s", given.spec, error)  # noqa: TRY400 - the sentence is enough, a trace is not for people
        return UNUSABLE_SPEC
    if given.events_fd is None:
        return run(spec, Reporter(sys.stdout.fileno()))
    die_with_parent()
    return run(spec, Reporter(given.events_fd), commands=sys.stdin)


def run(spec: ImportSpec, reporter: Reporter, *, commands: Iterable[str] | None = None) -> int:
    """Import, and report how it ended whatever happens: this is the process's outer edge."""
    try:
        leave_on_sigterm()
        if commands is not None:
            leave_with(commands, lambda: remove([part_of(spec.out), part_of(part_of(spec.out))]))
        _bound_resources()
        reporter.emit(Started(message=f"Reading {spec.filename}"))
        report, reason = import_file(spec, reporter.progress)
        ignore_sigterm()  # the work is done; leaving now would only report it wrongly
        reporter.emit(Finished(status="succeeded", reason=reason, data=report.model_dump(mode="json")))
    except Leave:
        with suppress(Leave):  # the pipe may be what broke
            reporter.emit(Finished(status="interrupted", reason="The import was asked to stop."))
    except MemoryError:
        log.exception("out of memory")
        return _failed(reporter, OUT_OF_MEMORY, "memory")
    except OSError as error:
        log.exception("input or output failed")
        return _failed(reporter, f"A file could not be read or written: {error.strerror or error}.", "storage")
    except Exception:
        log.exception("the import broke")
        return _failed(reporter, "Reading the file broke unexpectedly; the log has the details.", "internal")
    return DONE


def _failed(reporter: Reporter, reason: str, code: str) -> int:
    reporter.emit(Finished(status="failed", reason=reason, code=code))
    return FAILED


def _bound_resources() -> None:
    """One thread and the system's allocator: Arrow's own reserve address space by the gigabyte."""
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    bound_memory()


if __name__ == "__main__":
    sys.exit(main())
