"""A trainer that only counts: light enough to be killed by the hundred, and whatever it does wrong can be seen in what it leaves.

Its "weights" after step n are a hash over all steps before, so a repeated, skipped or foreign step shows in the curve and in the adapter.
It starts, reports, saves, obeys and leaves as the real one does; it imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from workers.lifeline import die_with_parent

TOKEN_METRIC = "attempt/token"
"""Under whose token a number was made; the row says under whose it was written."""
STEPS, STEP_SECONDS, CHECKPOINT_EVERY = "HONE_TRAINER_STEPS", "HONE_TRAINER_STEP_SECONDS", "HONE_TRAINER_CHECKPOINT_EVERY"


def weights_after(steps: int, begin: str = "", first: int = 0) -> str:
    """Return what `steps` steps make of the weights that `first` steps have made."""
    for step in range(first + 1, steps + 1):
        begin = hashlib.sha256(f"{begin} {step}".encode()).hexdigest()
    return begin


def loss_of(weights: str) -> float:
    """Return the number a step reports."""
    return int(weights[:8], 16) / 2**32


class Trainer:
    """One attempt at a run."""

    def __init__(self, out: Path, token: int, pipe: int) -> None:
        self.out, self.token, self.pipe = out, token, pipe
        self.asked = threading.Event()
        self.step, self.weights = 0, ""

    def say(self, kind: str, **fields: Any) -> None:
        """Report an event."""
        os.write(self.pipe, json.dumps({"type": kind} | fields).encode() + b"\n")

    def listen(self) -> None:
        """Follow commands; end-of-file means that the worker is gone."""
        for _ in sys.stdin:
            self.asked.set()
        os._exit(1)

    def train(self, steps: int, seconds: float, every: int) -> None:
        """Do the steps that are left, then leave the adapter; or save and leave when asked."""
        self.say("started", step=self.step, total_steps=steps, message="It began.")
        while self.step < steps and not self.asked.is_set():
            time.sleep(seconds)
            self.step += 1
            self.weights = weights_after(self.step, self.weights, self.step - 1)
            self.say("metric", step=self.step, name="train/loss", value=loss_of(self.weights))
            self.say("metric", step=self.step, name=TOKEN_METRIC, value=self.token)
            if self.step % every == 0:
                self.save()
        if self.step < steps:
            self.save()
            self.say("finished", status="interrupted")
            return
        self.write(self.out / f"adapter-t{self.token}")
        self.say("finished", status="succeeded")

    def write(self, folder: Path) -> None:
        """Write what a checkpoint and an adapter have in common."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_model.safetensors").write_text(self.weights)
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "b", "revision": "", "token": self.token}))

    def save(self) -> None:
        """Make a checkpoint: staged, listed, renamed."""
        name = f"{self.step}-t{self.token}"
        staging = self.out / "checkpoints" / ".staging" / name
        self.write(staging)
        files = {
            path.name: {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in staging.iterdir()
        }
        (staging / "manifest.json").write_text(json.dumps({"step": self.step, "lease_token": self.token, "files": files}))
        staging.rename(self.out / "checkpoints" / name)
        self.say("checkpoint", step=self.step, path=f"checkpoints/{name}")

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint."""
        self.step = json.loads((checkpoint / "manifest.json").read_text())["step"]
        self.weights = (checkpoint / "adapter_model.safetensors").read_text()


def main() -> None:
    """Begin as the trainer does."""
    given = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    trainer = Trainer(Path(given["--out"]), int(given["--lease-token"]), int(given["--events-fd"]))
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: trainer.asked.set())
    threading.Thread(target=trainer.listen, daemon=True).start()
    if "--resume" in given:
        trainer.resume(Path(given["--resume"]))
    trainer.train(int(os.environ[STEPS]), float(os.environ[STEP_SECONDS]), int(os.environ[CHECKPOINT_EVERY]))


if __name__ == "__main__":
    main()
