"""Where the fault programme keeps what it measured: bench/results/faults.json, and the table of it in docs/promises.md.

Written only when asked for (HONE_FAULTS_RECORD=1), and only by the large size: a test that is merely run changes no file of the project.
After a change of the list of promises `python -m tests.faults.harness.results` writes the table anew.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.results_file import FOLDER, machine
from tests.faults.harness.promises import PROMISES

RESULTS = FOLDER / "faults.json"
TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parents[1] / "docs" / "promises.md"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
# Read when this is imported: a test sees no setting of whoever runs it.
ASKED = os.environ.get("HONE_FAULTS_RECORD") == "1"


@dataclass(frozen=True)
class Recorder:
    """Prints what a test of a promise found, and keeps it if that was asked for and the test is of the large size."""

    item: pytest.Item

    def __call__(self, promise_id: str, *, n: int, result: dict[str, Any], seed: int | None = None, database: str = "") -> None:
        """Take what was found in `n` tries; a later result of the same test, run with the same, replaces it."""
        promise = PROMISES[promise_id]
        test = f"{self.item.path.relative_to(TESTS)}::{self.item.name}"
        print(f"{promise_id} {test}: n={n} seed={seed} {result}")
        if ASKED and (self.item.get_closest_marker("slow") or promise.small == promise.large):
            entry = {"id": promise_id, "promise": promise.sentence, "test": test, "n": n, "result": result, "seed": seed}
            _keep(entry | {"database": database, "date": datetime.now(UTC).date().isoformat(), "machine": machine()})


def _keep(entry: dict[str, Any]) -> None:
    with RESULTS.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # tests run side by side
        file.seek(0)
        others = [kept for kept in json.loads(file.read() or "[]") if (kept["id"], kept["test"]) != (entry["id"], entry["test"])]
        entries = sorted([*others, entry], key=lambda kept: (list(PROMISES).index(kept["id"]), kept["test"]))
        file.truncate(0)
        file.write(json.dumps(entries, indent=2) + "\n")
        file.flush()
        show(entries)


def table(entries: list[dict[str, Any]]) -> str:
    """Return the promises and what was last measured of each as the table of docs/promises.md."""
    lines = ["| | Promise | Test | Each time | Large size | Last result |", "|---|---|---|---|---|---|"]
    for promise_id, promise in PROMISES.items():
        found = "<br>".join(_in_words(entry) for entry in entries if entry["id"] == promise_id) or "not measured yet"
        lines.append(f"| {promise_id} | {promise.sentence} | `{promise.test}` | {promise.small} | {promise.large} | {found} |")
    return "\n".join(lines) + "\n"


def _in_words(entry: dict[str, Any]) -> str:
    figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in entry["result"].items())
    where = f"{entry['database']}, " if entry["database"] else ""
    tries = "once" if entry["n"] == 1 else f"{entry['n']:,} trials"
    seed = "" if entry["seed"] is None else f", seed {entry['seed']}"
    return f"{entry['date']}, {where}{tries}{seed}: {figures}"


def show(entries: list[dict[str, Any]]) -> None:
    """Put the table into docs/promises.md."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(entries) + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    show(json.loads(RESULTS.read_text(encoding="utf-8")))
