"""From the launch to the first optimiser step: a run on a warm studio, in turns with `trl sft` started for the same model and rows.

    python -m bench.start_latency [--shape 6m] [--repeats 5]

Ours counts from before POST /api/v1/runs until the metric of the first step can be read over REST, as whoever launched it sees it, in a
studio that has had a run before; the peer's from before its process is started until its first on_step_end. A third side is ours without
warm trainers. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psutil

from bench.models import made
from bench.results_file import keep, machine, versions
from tools.running import running_studio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.running import RunningStudio

ROOT = Path(__file__).resolve().parents[1]
TRL = "bench.peers.trl_first_step"
NAME = "start_latency"
BATCH, RANK, MAX_LENGTH = 16, 16, 1024
LOOK_SECONDS, PATIENCE_SECONDS = 0.01, 180.0
FLOOR = 5.0
"""How many times as soon as the peer's the first step is to come."""
WARM, IMPORTING_SECONDS = "workers.warm", 2.0


def main() -> None:
    """Measure, keep the figures, and print them."""
    wanted = _arguments()
    base, rows = made(wanted.shape, "plain")
    with TemporaryDirectory(prefix="hone-bench-") as folder:
        found = in_turns(base, rows, Path(folder), wanted.repeats)
    figures = {"shape": wanted.shape, "batch": BATCH, "rank": RANK, "rows": rows.name, "floor": FLOOR, **found}
    keep(NAME, figures)
    print(json.dumps({"benchmark": NAME, "machine": machine(), "versions": versions(), **figures}))
    sys.exit(0 if figures["ratio"] >= FLOOR else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="6m", help="of bench/models.py")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def in_turns(base: Path, rows: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Measure all sides so many times, in turns, and return what they come to."""
    found: dict[str, list[float]] = {"ours": [], "peer": [], "ours_cold": []}
    with (
        running_studio(folder / "warm", HONE_WARM_TRAINERS="true") as warm,
        running_studio(folder / "cold", HONE_WARM_TRAINERS="false") as cold,
    ):
        datasets = {studio.address: studio.upload(rows)["id"] for studio in (warm, cold)}
        for studio in (warm, cold):  # a form has shown the preflight before anybody launches; the first one of a server takes longer
            first_step(studio, base, datasets[studio.address])
        waits = _bytes_of(_waiting(warm))
        for number in range(repeats):
            _waiting(warm)
            found["ours"].append(first_step(warm, base, datasets[warm.address]))
            found["peer"].append(peers_first_step(base, rows))
            found["ours_cold"].append(first_step(cold, base, datasets[cold.address]))
            told = ", ".join(f"{side} {seconds[-1]:.2f} s" for side, seconds in found.items())
            print(f"  {number + 1}/{repeats}: {told}", file=sys.stderr)
    medians = {side: summary(seconds) for side, seconds in found.items()}
    ratio = medians["peer"]["seconds"] / medians["ours"]["seconds"]
    cold_ratio = medians["peer"]["seconds"] / medians["ours_cold"]["seconds"]
    return {"ratio": round(ratio, 2), "ratio_cold": round(cold_ratio, 2), **medians, "warm_bytes": waits}


def first_step(studio: RunningStudio, base: Path, dataset: str) -> float:
    """Launch a run of one step; return the seconds until its loss can be read, once nothing of the run is left."""
    settings = {"max_steps": 1, "batch_size": BATCH, "rank": RANK, "max_length": MAX_LENGTH}
    with studio.rest as rest:
        rest.get("/api/v1/runs").raise_for_status()  # the connection is there already, as a browser's is
        began = time.time()
        asked = {"name": "start", "base_model": str(base), "dataset_id": dataset, "settings": settings}
        run = rest.post("/api/v1/runs", json=asked).raise_for_status().json()["id"]
        while not rest.get(f"/api/v1/runs/{run}/metrics", params={"name": "train/loss"}).raise_for_status().json()["data"]:
            if time.time() - began > PATIENCE_SECONDS:
                sys.exit(f"The run made no step: {rest.get(f'/api/v1/runs/{run}').json()}")
            time.sleep(LOOK_SECONDS)
        seconds = time.time() - began
    studio.finish(run)
    return seconds


def peers_first_step(base: Path, rows: Path) -> float:
    """Start the peer; return the seconds until the end of its first step."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", TRL, str(base), str(rows), *map(str, (BATCH, RANK, MAX_LENGTH))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{TRL} failed:\n{done.stderr[-4000:]}")
    return float(done.stdout.splitlines()[-1]) - began


def _waiting(studio: RunningStudio) -> psutil.Process:
    """Wait until the studio's trainer has imported everything, and return it: the computer's time it has taken then stays as it is."""
    deadline, earlier = time.time() + PATIENCE_SECONDS, 0.0
    while time.time() < deadline:
        family = psutil.Process(studio.process.pid).children(recursive=True)
        found = [child for child in family if WARM in " ".join(child.cmdline())]
        taken = sum(found[0].cpu_times()[:2]) if found else 0.0
        if taken > IMPORTING_SECONDS and taken == earlier:
            return found[0]
        earlier = taken
        time.sleep(1.0)
    sys.exit("The studio keeps no trainer warm.")


def _bytes_of(process: psutil.Process) -> dict[str, int]:
    memory = process.memory_full_info()
    return {"rss": memory.rss, "uss": memory.uss}


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Return the median, how far the repeats lay apart, and all of them."""
    each = [round(one, 3) for one in seconds]
    return {"seconds": round(statistics.median(seconds), 3), "spread": [min(each), max(each)], "each": each}


if __name__ == "__main__":
    main()
