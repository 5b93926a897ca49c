from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.datasets import ImportReport
from app.domain.events import AnyEvent, Finished, Progress, Started, parse_event
from tests.workers.curation.conftest import chat_line
from workers.curation.child import DONE, FAILED, UNUSABLE_SPEC

ROOT = Path(__file__).resolve().parents[3]


class Child:
    """An import as its supervisor sees it: a pipe of events, and standard input for commands."""

    def __init__(self, spec: Path) -> None:
        reader, writer = os.pipe()
        argv = [sys.executable, "-m", "workers.curation.ingest", str(spec), "--events-fd", str(writer)]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=[writer])
        os.close(writer)
        self._events = os.fdopen(reader, encoding="utf-8")

    def events(self) -> Iterator[AnyEvent]:
        return (parse_event(line) for line in self._events)

    def wait(self) -> tuple[int, list[AnyEvent]]:
        events = list(self.events())
        return self.process.wait(timeout=60), events

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.kill()
        self.process.stdin.close()
        self._events.close()
        self.process.wait()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    children = []

    def start(source: Path, filename: str = "rows.jsonl") -> Child:
        spec = tmp_path / "spec.json"
        out = tmp_path / "out" / "rows.parquet"
        spec.write_text(json.dumps({"task": "import", "files": [{"path": str(source), "filename": filename}], "out": str(out)}))
        children.append(Child(spec))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture
def long_file(tmp_path: Path) -> Iterator[Path]:
    """A file that takes many seconds to read: its import is still at work when the test asks it to leave."""
    path = tmp_path / "upload"
    block = "".join(chat_line(str(number)) for number in range(10_000))
    with path.open("w") as file:
        for _ in range(100):
            file.write(block)
    yield path
    path.unlink()


def left_in(tmp_path: Path) -> list[str]:
    out = tmp_path / "out"
    return sorted(file.name for file in out.iterdir()) if out.exists() else []


def finished(events: list[AnyEvent]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def test_an_import_tells_how_it_goes_and_what_it_found(tmp_path: Path, started: Any) -> None:
    (tmp_path / "upload").write_text("".join(chat_line(str(number)) for number in range(100)))
    code, events = started(tmp_path / "upload").wait()
    assert code == DONE
    assert isinstance(events[0], Started)
    assert any(isinstance(event, Progress) and event.total > 0 for event in events)
    report = ImportReport.model_validate(finished(events).data)
    assert (finished(events).status, report.status, report.rows) == ("succeeded", "ready", 100)
    assert left_in(tmp_path) == ["rows.parquet"]


def test_a_file_without_rows_is_a_success_with_a_failed_report(tmp_path: Path, started: Any) -> None:
    (tmp_path / "upload").write_bytes(b"PK\3\4 and so on")
    code, events = started(tmp_path / "upload").wait()
    assert (code, finished(events).status, finished(events).data["status"]) == (DONE, "succeeded", "failed")
    assert "rows.jsonl is damaged" in finished(events).reason
    assert left_in(tmp_path) == []


def test_a_file_that_is_gone_is_a_failure_with_a_reason(tmp_path: Path, started: Any) -> None:
    code, events = started(tmp_path / "upload").wait()
    assert (code, finished(events).status, finished(events).code) == (FAILED, "failed", "storage")
    assert "No such file" in finished(events).reason


@pytest.mark.parametrize("content", ["", "{}", '{"source": 1}', "[]"])
def test_an_unusable_spec_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "spec.json").write_text(content)
    argv = [sys.executable, "-m", "workers.curation.ingest", str(tmp_path / "spec.json")]
    assert subprocess.run(argv, cwd=ROOT, check=False, capture_output=True).returncode == UNUSABLE_SPEC


def test_sigterm_ends_an_import_and_leaves_nothing(tmp_path: Path, started: Any, long_file: Path) -> None:
    child = started(long_file)
    events = []
    for event in child.events():
        events.append(event)
        if isinstance(event, Progress) and event.rows >= 5_000:
            child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(timeout=60) == DONE
    assert finished(events).status == "interrupted"
    assert left_in(tmp_path) == []


def test_a_command_ends_an_import_too(tmp_path: Path, started: Any, long_file: Path) -> None:
    child = started(long_file)
    child.process.stdin.write(b'{"command": "cancel"}\n')
    child.process.stdin.flush()
    code, events = child.wait()
    assert (code, finished(events).status) == (DONE, "interrupted")
    assert left_in(tmp_path) == []


def test_an_import_whose_supervisor_is_gone_leaves_at_once_and_leaves_nothing(tmp_path: Path, started: Any, long_file: Path) -> None:
    child = started(long_file)
    for event in child.events():
        if isinstance(event, Progress) and event.rows >= 5_000:
            child.process.stdin.close()
            break
    child.process.wait(timeout=60)
    assert left_in(tmp_path) == []


# VmHWM and not ru_maxrss: the latter begins with the peak of whoever started the process, here that of all tests before.
MEASURED = """
import re, sys
from pathlib import Path
from workers.curation import child, ingest
if len(sys.argv) > 2:
    child.bound_memory.__defaults__ = (int(sys.argv.pop()),)
code = ingest.main(sys.argv[1:])
print(re.search("VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


def measured(tmp_path: Path, *more: str) -> tuple[int, Finished, int]:
    """Run an import and return its exit code, its last event and its peak memory in MiB."""
    spec = tmp_path / "spec.json"
    spec.write_text(
        json.dumps({"files": [{"path": str(tmp_path / "upload"), "filename": "rows.jsonl"}], "out": str(tmp_path / "out" / "rows.parquet")})
    )
    ran = subprocess.run([sys.executable, "-c", MEASURED, str(spec), *more], cwd=ROOT, check=False, capture_output=True)
    return ran.returncode, finished([parse_event(line) for line in ran.stdout.splitlines()]), int(ran.stderr.splitlines()[-1]) // 1024


@pytest.mark.parametrize("inside", ["a line", "an element", "a lone value"])
def test_two_hundred_megabytes_in_one_piece_are_set_aside_in_bounded_memory(tmp_path: Path, inside: str) -> None:
    before, after = {
        "a line": (chat_line(), "\n" + chat_line()),
        "an element": ("[\n" + chat_line() + ",\n", ",\n" + chat_line() + "]"),
    }.get(inside, ("", ""))
    with (tmp_path / "upload").open("w") as file:
        file.write(before + '{"messages": [{"role": "user", "content": "')
        for _ in range(200):
            file.write("x" * 2**20)
        file.write('"}]}' + after)
    code, last, peak_mebibytes = measured(tmp_path)
    (tmp_path / "upload").unlink()
    assert (code, last.data["problem_count"]) == (DONE, 1)
    assert last.data["rows"] == (0 if inside == "a lone value" else 2)
    assert "longer than 8 MiB" in last.data["problems"][0]["reason"]
    assert peak_mebibytes < 400


def test_running_out_of_memory_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "upload").write_text("".join(chat_line("x" * 4_000_000) for _ in range(8)))
    code, last, _ = measured(tmp_path, str(2**20))
    assert (code, last.status, last.code) == (FAILED, "failed", "memory")


def test_rows_that_share_one_enormous_text_do_not_fill_the_machines_memory(tmp_path: Path) -> None:
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), pa.array(["x" * 20_000_000]))
    pq.write_table(pa.table({"text": shared}), tmp_path / "upload", compression=None, dictionary_pagesize_limit=10**9, store_schema=False)
    code, last, _ = measured(tmp_path)
    assert (code, last.status, last.code) == (FAILED, "failed", "memory")
