"""A tiny base, its rows, and a way to train in this very process."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.domain.events import AnyEvent
from tests.workers.training.tiny import make_model, read_events, write_rows, write_spec
from workers import train

Train = Callable[..., tuple[int, list[AnyEvent]]]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random base model."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny-base")


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows it can learn."""
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put back what training sets for its whole process."""
    monkeypatch.setenv("HONE_TRAINER_THREADS", "1")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.use_deterministic_algorithms(False)
    random.setstate(generators[0])
    np.random.set_state(generators[1])  # noqa: NPY002
    torch.set_rng_state(generators[2])


@pytest.fixture
def train_here(tmp_path: Path, base: Path, rows: Path, undisturbed: None) -> Train:
    """Train in this process, into tmp_path/out, and return exit code and events."""

    def run(*, base: Path = base, rows: Path = rows, out: str = "out", **settings: Any) -> tuple[int, list[AnyEvent]]:
        spec = write_spec(tmp_path, base, rows, **settings)
        code = train.main([str(spec), "--out", str(tmp_path / out)])
        return code, read_events(tmp_path / out)

    return run


@pytest.fixture
def shares_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every shared part of rows once, where it would not pay, too: rows of tests are short."""
    from workers.training import batches

    monkeypatch.setattr(batches, "LEAST_SAVED", 1)
