"""The measurement on a GPU, as far as a CPU can try it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu_rows import KINDS, write_rows
from bench.gpu_train import matrix_weights
from bench.models import SHAPES
from tests.conftest import ROOT


@pytest.mark.parametrize(("shape", "millions"), [("0.5b", 358 + 136), ("1b", 973 + 263), ("8b", 6979 + 525)])
def test_the_shapes_have_the_weights_of_the_models_they_stand_for(shape: str, millions: int) -> None:
    assert matrix_weights(SHAPES[shape]) / 1e6 == pytest.approx(millions, rel=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_from_the_bundled_sample_as_chats(kind: str, tmp_path: Path) -> None:
    lines = write_rows(tmp_path / "rows.jsonl", kind, 40).read_text().splitlines()
    chats = [json.loads(line)["messages"] for line in lines]
    assert len(chats) == 40
    assert all([turn["role"] for turn in chat] == ["system", *["user", "assistant"] * (len(chat) // 2)] for chat in chats)
    shared = {chat[0]["content"] for chat in chats}
    assert len(shared) == 1
    assert len({json.dumps(chat) for chat in chats}) == 40
    assert (len(shared.pop()) > 1_000) is (kind == "shared")


@pytest.mark.slow
def test_the_whole_measurement_runs_on_a_tiny_model() -> None:
    command = [sys.executable, "-m", "bench.gpu_train", "--tiny", "--device", "cpu", "--repeats", "1", "--peer", "default"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"short_tiny", "shared_tiny"}
    assert all(line["parity"]["trl"]["holds"] for line in found.values())
