"""A run of one step on the bundled base, before there is a real one: what libraries prepare at their first use is then prepared.

It takes the same way as every run, so that nothing has to be listed here: from the tokenizer to the adapter that is written.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from app.domain.datasets import Message, Split
from app.domain.specs import STARTER, TrainingSettings, TrainingSpec
from workers.training.base_model import STARTER_FOLDER, find_base_model, stay_offline
from workers.training.checkpoints import Checkpoints
from workers.training.control import Control
from workers.training.progress import ProgressLine
from workers.training.report import Reporter
from workers.training.rows import Row, Rows
from workers.training.run import Job, Run
from workers.training.state import RandomState
from workers.training.templates import of_our_own

SAID = ("Where is my parcel?", "shipping"), ("I was charged twice.", "billing"), ("The lamp is broken.", "returns")


def rehearse() -> None:
    """Make one step on the processor; what it drew from random generators is given back."""
    stay_offline()
    generators = RandomState.now()
    spec = TrainingSpec(base_model=STARTER, dataset="rehearsal", settings=TrainingSettings(max_steps=1, batch_size=2, device="cpu"))
    with TemporaryDirectory(prefix="hone-") as folder, Path(os.devnull).open("wb", buffering=0) as nowhere:
        base = find_base_model(STARTER, beside=STARTER_FOLDER)
        job = Job(spec, base, _rows(), Path(folder) / "adapter", Checkpoints(Path(folder), lease_token=0, keep=1), None)
        with of_our_own():
            Run(job, Reporter(nowhere), Control(), ProgressLine(wanted=False)).go()
    generators.restore()
    # What is there now stays: no later look for garbage has to go through it.
    gc.collect()
    gc.freeze()


def _rows() -> Rows:
    rows = [
        Row((Message(role="user", content=asked), Message(role="assistant", content=answer)), str(number), Split.TRAIN, number)
        for number, (asked, answer) in enumerate(SAID, 1)
    ]
    return Rows(rows[1:], rows[:1])
