"""How fast a large JSONL file becomes rows, beside `datasets`, which loads it and saves it; and in how much memory.

`python -m bench.ingest` writes bench/results/ingest.json. Both sides read from a cold cache and use the same cores, in processes of their
own; what is imported before the first byte is read is timed on neither side. Hone checks every row (its JSON, its encoding, its roles, that
nothing is empty), hashes it, puts it on a side of the split and writes Parquet; `datasets` does none of this but the JSON, and writes
Arrow, or Parquet where that is quicker.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psutil

from bench.results_file import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Command = Callable[[Path, Path], list[str]]

GIGABYTE = 10**9
ROUNDS = 3
LARGE = 3
"""Three gigabytes are read too, once, to see that memory does not grow with the file."""
WORDS = 8_000
ROWS_AT_ONCE = 1_000
LOAD = """
import json, os, sys
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
import datasets
source, folder, how = sys.argv[1:]
print("begin", flush=True)
loaded = datasets.load_dataset("json", data_files=source, split="train", cache_dir=f"{folder}/cache")
loaded.save_to_disk(f"{folder}/saved") if how == "save_to_disk" else loaded.to_parquet(f"{folder}/saved.parquet")
print(json.dumps({"rows": len(loaded)}))
"""


def chat(text: Callable[[int], str]) -> dict[str, Any]:
    """Return a row in OpenAI's shape, of about 500 bytes."""
    said = [("system", "You are a helpful assistant."), ("user", text(18)), ("assistant", text(34))]
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def alpaca(text: Callable[[int], str]) -> dict[str, Any]:
    """Return a row in Alpaca's shape, of about the same size."""
    return {"instruction": text(17), "input": text(9), "output": text(34)}


ROWS = {"chat": chat, "alpaca": alpaca}


def write_rows(path: Path, kind: str, *, size: int = 0, rows: int = 0, seed: int = 1) -> None:
    """Write a file of at least that size, or of so many rows: words by chance, some in other scripts, some quoted, in paragraphs."""
    with path.open("w", encoding="utf-8") as file:
        written = 0
        for lines in _lines(ROWS[kind], seed):
            taken = lines[: rows - written] if rows else lines
            written += len(taken)
            file.write("".join(taken))
            if (rows and written >= rows) or (size and file.tell() >= size):
                return


def _lines(row: Callable[[Callable[[int], str]], dict[str, Any]], seed: int) -> Iterator[list[str]]:
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    words = ["".join(chance.choices("etaoinshrdlcumwfgypbvk", k=chance.randint(2, 9))) for _ in range(WORDS)]
    words += ["naïve", "Zürich", "«так»", "你好", '"so"', "it's", "C:\\temp", "and/or"] * 8 + ["end.\n\n"] * 90

    def text(number: int) -> str:
        return " ".join(chance.choices(words, k=number)) if number > 9 or chance.random() < 0.5 else ""

    while True:
        yield [json.dumps(row(text), ensure_ascii=False) + "\n" for _ in range(ROWS_AT_ONCE)]


def importing(source: Path, folder: Path) -> list[str]:
    """Return the command with which a worker has a file imported."""
    spec = {"files": [{"path": str(source), "filename": "rows.jsonl"}], "out": str(folder / "rows.parquet")}
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    return [sys.executable, "-m", "workers.curation.ingest", str(folder / "spec.json")]


def saving(how: str) -> Command:
    """Return how `datasets` loads a file and saves it in one of its ways."""
    return lambda source, folder: [sys.executable, "-c", LOAD, str(source), str(folder), how]


def measured(command: Command, source: Path) -> dict[str, Any]:
    """Run one side on a file that is in no cache; return its speed, and the most memory that its processes had together.

    Time begins with the first thing that a process says, once everything is loaded, and ends with the last.
    """
    with TemporaryDirectory(dir=source.parent) as name:
        forget(source)
        folder, peak, said = Path(name), [0], list[tuple[float, str]]()
        child = subprocess.Popen(command(source, folder), stdout=subprocess.PIPE, text=True)
        watching = threading.Thread(target=_watch, args=(psutil.Process(child.pid), peak))
        watching.start()
        said += ((time.perf_counter(), line) for line in child.stdout or ())
        watching.join()
        if child.wait():
            raise SystemExit(f"{child.args!r}: ended with {child.returncode}")
        saved = sum(file.stat().st_size for file in folder.glob("*.parquet"))
    told = json.loads(said[-1][1])
    rows, seconds = told["rows"] if "rows" in told else told["data"]["rows"], said[-1][0] - said[0][0]
    return {
        "rows": rows, "seconds": round(seconds, 2), "rows_per_second": round(rows / seconds),
        "peak_mib": peak[0] >> 20, "saved_mib": saved >> 20,
    }  # fmt: skip


def _watch(process: psutil.Process, peak: list[int]) -> None:
    """Add up the resident memory of a process and its children, many times a second."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        try:
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.02)


def forget(path: Path) -> None:
    """Have the system drop a file from its cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compared(source: Path) -> dict[str, Any]:
    """Measure all sides in turn, several times; `datasets` counts as the quicker of its two ways to save."""
    sides = {"hone": importing, "save_to_disk": saving("save_to_disk"), "to_parquet": saving("to_parquet")}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, command in sides.items():
            found[side].append(measured(command, source))
    speeds = {side: [each["rows_per_second"] for each in rounds] for side, rounds in found.items()}
    middle = {side: median(each) for side, each in speeds.items()}
    return {
        "rows": found["hone"][0]["rows"], "megabytes": round(source.stat().st_size / 1e6),
        "rows_per_second": speeds, "median": middle,
        "ratio": round(middle["hone"] / max(middle["save_to_disk"], middle["to_parquet"]), 2),
        "peak_mib": {side: max(each["peak_mib"] for each in rounds) for side, rounds in found.items()},
        "saved_mib": found["hone"][0]["saved_mib"],
    }  # fmt: skip


def main() -> None:
    """Measure both shapes, and three gigabytes of one, and keep the figures."""
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    figures: dict[str, Any] = {
        "validation": "hone checks, hashes and splits every row; datasets only parses it",
        "load_average": os.getloadavg(),
    }
    with TemporaryDirectory() as folder:
        for kind in ROWS:
            source = Path(folder) / f"{kind}.jsonl"
            write_rows(source, kind, size=int(gigabytes * GIGABYTE))
            figures[kind] = compared(source)
            source.unlink()
        source = Path(folder) / "large.jsonl"
        write_rows(source, "chat", size=int(gigabytes * LARGE * GIGABYTE))
        figures["chat_three_times_as_large"] = measured(importing, source)
    if gigabytes == 1:
        print(keep("ingest", figures))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
