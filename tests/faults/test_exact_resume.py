"""A run that was killed, paused, stopped or told to leave goes on as if nothing had happened: bit for bit, with the real trainer.

The tiny base, float32 on a CPU, dropout (so that random numbers count) and several epochs (so that the order of the rows does).
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from app.domain.checkpoints import MANIFEST, Manifest, record_of
from app.domain.events import AnyEvent, Finished, Metric, parse_event
from app.domain.runs import adapter_folder
from tests.faults.harness.results import Recorder
from tests.workers.training.conftest import Train, base, rows, train_here, undisturbed
from tests.workers.training.tiny import curve, last, write_spec
from workers.training.adapter import WEIGHTS
from workers.training.checkpoints import Checkpoints
from workers.training.control import Control, Leave
from workers.training.state import OPTIMISER, RANDOM, STATE

__all__ = ["base", "rows", "train_here", "undisturbed"]

STEPS, AHEAD = 80, 15
"""A trainer is never further ahead of what was read than its pipe takes, so that it is always hit before it has finished."""
PIPE_BYTES = 4096
SETTINGS = {"max_steps": STEPS, "dropout": 0.1, "checkpoint_every_steps": 5, "eval_every_steps": 20, "learning_rate": 0.01}
NAMES = ("train/loss", "train/grad_norm", "train/learning_rate", "eval/loss", "eval/exact_match")


class Attempt:
    """One trainer as a worker starts it."""

    def __init__(self, spec: Path, out: Path, token: int) -> None:
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        command = [
            sys.executable,
            "-m",
            "workers.train",
            str(spec),
            "--out",
            str(out),
            "--events-fd",
            str(writing),
            "--lease-token",
            str(token),
        ]
        newest = Checkpoints(out / "checkpoints", lease_token=token, keep=None).newest_good()
        command += ["--resume", str(newest)] if newest else []
        environment = os.environ | {"HONE_TRAINER_THREADS": "1"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writing], env=environment)
        os.close(writing)
        self._lines: BinaryIO = os.fdopen(reading, "rb")

    def events(self) -> Iterator[AnyEvent]:
        """Yield what it reports, to the end."""
        for line in self._lines:
            if line.endswith(b"\n"):
                yield parse_event(line)

    def end(self, way: str) -> None:
        """Interrupt it."""
        if way == "pause":
            assert self.process.stdin is not None
            self.process.stdin.write(b'{"command": "pause"}\n')
            self.process.stdin.flush()
        else:
            self.process.send_signal(signal.SIGKILL if way == "kill" else signal.SIGTERM)

    def close(self) -> int:
        """Wait for its end and return its exit code."""
        assert self.process.stdin is not None
        self._lines.close()
        code = self.process.wait()
        self.process.stdin.close()
        return code


def interrupted(spec: Path, out: Path, token: int, way: str, chance: random.Random) -> list[AnyEvent]:
    """Run an attempt and interrupt it at a random step after the one it begins with; return what it told."""
    attempt = Attempt(spec, out, token)
    told: list[AnyEvent] = []
    at = STEPS
    for event in attempt.events():
        told.append(event)
        if event.type == "started":
            at = chance.randint(event.step + 1, max(event.step + 1, min(event.step + 8, STEPS - AHEAD)))
        if isinstance(event, Metric) and event.name == "train/loss" and event.step == at:
            attempt.end(way)
    assert attempt.close() == (-signal.SIGKILL if way == "kill" else 0)
    assert (isinstance(told[-1], Finished) and last(told).status == "interrupted") == (way != "kill")
    return told


def finished(spec: Path, out: Path, token: int) -> list[AnyEvent]:
    """Run an attempt to its end and return what it told."""
    attempt = Attempt(spec, out, token)
    told = list(attempt.events())
    assert attempt.close() == 0
    assert last(told).status == "succeeded"
    return told


def weights(out: Path, token: int) -> bytes:
    return (out / adapter_folder(token) / WEIGHTS).read_bytes()


def interrupted_run(spec: Path, out: Path, ways: Sequence[str], chance: random.Random) -> tuple[list[AnyEvent], bytes]:
    """Return what all attempts at one run told together, and the weights it ended with."""
    told = [event for token, way in enumerate(ways, 1) for event in interrupted(spec, out, token, way, chance)]
    told += finished(spec, out, len(ways) + 1)
    return told, weights(out, len(ways) + 1)


@pytest.mark.parametrize(
    ("runs", "ways"), [(1, ["kill"]), pytest.param(10, ["kill", "terminate", *["kill"] * 3, "pause", "kill"], marks=pytest.mark.slow)]
)
def test_a_run_interrupted_anywhere_ends_bit_for_bit_as_if_nothing_had_happened(
    runs: int, ways: list[str], seed: int, tmp_path: Path, base: Path, rows: Path, record: Recorder
) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    spec = write_spec(tmp_path, base, rows, **SETTINGS)
    whole = finished(spec, tmp_path / "whole", 1)
    expected = {name: curve(whole, name) for name in NAMES}
    assert sorted(expected["train/loss"]) == list(range(1, STEPS + 1))
    for number in range(runs):
        out = tmp_path / f"cut-{number}"
        told, ended_with = interrupted_run(spec, out, ways, chance)
        assert {name: curve(told, name) for name in NAMES} == expected
        assert ended_with == weights(tmp_path / "whole", 1)
        shutil.rmtree(out)
    kills = runs * ways.count("kill")
    record("R3", n=kills, result={"runs_equal_bit_for_bit": runs, "other_interruptions": runs * len(ways) - kills}, seed=seed)


HALF = {"max_steps": 12, "dropout": 0.1, "checkpoint_every_steps": 4, "eval_every_steps": 6}


def seal(checkpoint: Path, step: int) -> None:
    """Have the manifest say of a checkpoint's files what they are now."""
    files = {path.name: record_of(path) for path in checkpoint.iterdir() if path.name != MANIFEST}
    (checkpoint / MANIFEST).write_text(Manifest(step=step, lease_token=0, files=files).model_dump_json())


def one_step_back(checkpoint: Path) -> None:
    document = json.loads((checkpoint / STATE).read_text())
    document["run"]["step"] -= 1
    (checkpoint / STATE).write_text(json.dumps(document))


@pytest.mark.parametrize("lost", ["nothing", RANDOM, OPTIMISER, WEIGHTS, "place in the rows"])
def test_each_piece_of_a_checkpoint_is_needed(lost: str, train_here: Train, tmp_path: Path) -> None:
    _, whole = train_here(out="whole", **HALF)
    made = tmp_path / "whole" / "checkpoints"
    checkpoint = Path(shutil.copytree(made / "8-t0", tmp_path / "again" / "checkpoints" / "8-t0"))
    if lost == "place in the rows":
        one_step_back(checkpoint)
    elif lost != "nothing":
        shutil.copy(made / "12-t0" / lost, checkpoint / lost)
    seal(checkpoint, 8)
    code, again = train_here(out="again", **HALF)
    assert code == 0, last(again).reason
    expected = {step: loss for step, loss in curve(whole).items() if step > 8}
    is_the_same = curve(again) == expected and weights(tmp_path / "again", 0) == weights(tmp_path / "whole", 0)
    assert is_the_same == (lost == "nothing")


@pytest.mark.parametrize("wish", ["pause", "stop"])
@pytest.mark.parametrize("turn", range(2))
def test_leaving_at_any_moment_of_a_step_or_a_check_changes_no_bit(
    wish: Any, turn: int, seed: int, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = train_here(out="whole", **HALF)
    chance = random.Random(f"{seed} {turn} {wish}")  # noqa: S311 - chance that can be repeated
    true_check, at = Control.check, chance.randint(20, 60)
    asked = iter(range(1, 10**6))

    def leave(control: Control) -> None:
        if next(asked) == at:
            raise Leave(wish)
        true_check(control)

    monkeypatch.setattr(Control, "check", leave)
    _, cut = train_here(out="cut", **HALF)
    print(f"asked to {wish} at look {at}: {last(cut).reason}")
    assert last(cut).status == "interrupted"
    _, both = train_here(out="cut", **HALF)
    assert {name: curve(both, name) for name in NAMES} == {name: curve(whole, name) for name in NAMES}
    assert weights(tmp_path / "cut", 0) == weights(tmp_path / "whole", 0)
