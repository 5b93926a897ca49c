"""The training benchmark compares the same work, and refuses to compare anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import sides, train_vs_trl, trl_settings
from bench.gpu_train import UNSLOTH
from bench.models import SHAPES, make_model
from bench.parity import parity
from bench.peers.start import draw_adapters
from bench.sides import OURS, SideFailed, Work
from bench.trl_settings import candidates, fastest_settings
from tests.workers.training.tiny import TEXTS, write_rows


def side(losses: list[float], norms: list[float], speed: float = 4.0) -> dict[str, Any]:
    seconds = 16 / speed
    return {
        "losses": losses, "gradient_norms": norms, "rows_per_second": speed, "seconds": seconds, "cpu_seconds": 2 * seconds,
        "steps_timed": 1, "peer": "a trainer",
    }  # fmt: skip


def test_parity_holds_for_the_same_curve_and_for_no_other() -> None:
    ours, alike = side([8.42399, 8.32312], [1.37, 1.16]), side([8.42397, 8.32301], [1.375, 1.165])
    assert parity([ours], [alike], "bf16")["holds"]
    assert not parity([ours], [alike], "fp32")["holds"]
    assert not parity([ours], [side([8.46, 8.32301], [1.37, 1.16])], "bf16")["holds"]
    assert not parity([ours], [side([8.42397, 8.21], [1.37, 1.16])], "bf16")["holds"]
    # A loss can look right where nothing is learnt.
    learns_nothing = side([8.42397, 8.32301], [0.0, 0.0])
    assert not parity([ours], [learns_nothing], "bf16")["holds"]
    assert not parity([ours, ours, ours], [alike, learns_nothing, alike], "bf16")["holds"]
    assert not parity([ours, ours], [alike, side([8.42397, float("nan")], [1.37, 1.16])], "bf16")["holds"]
    with pytest.raises(ValueError, match="zip"):
        parity([ours], [side([8.42397], [1.37])], "bf16")


def test_adapters_of_two_sides_begin_alike() -> None:
    def drawn() -> torch.Tensor:
        weights = {name: torch.nn.Parameter(torch.zeros(4, 16)) for name in ("layer.lora_A.default.weight", "layer.lora_B.default.weight")}
        draw_adapters(weights.items())
        assert not weights["layer.lora_B.default.weight"].any()
        return weights["layer.lora_A.default.weight"].detach()

    assert torch.equal(drawn(), drawn())
    assert 0.2 < float(drawn().abs().max()) <= 0.25


def test_every_candidate_covers_the_whole_step() -> None:
    sizes = [
        int(extra[extra.index("--micro-batch") + 1])
        for extra in candidates("tuned", Work(Path(), Path(), batch=12, precision="fp32", cpu=True))
    ]
    assert sizes == [12, 6, 3, 1]
    assert len(candidates("tuned", Work(Path(), Path(), cpu=True))) == 10
    assert candidates("tuned", Work(Path(), Path(), batch=64, precision="fp32", cpu=True))[0] == ["--micro-batch", "64"]
    assert all(len(extra) == 2 for extra in candidates("tuned", Work(Path(), Path()), UNSLOTH))
    assert all("--packing" in extra for extra in candidates("packing", Work(Path(), Path(), cpu=True)))


def test_the_peer_s_fastest_setting_is_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("")
    asked: list[list[str]] = []

    def run_side(_module: str, arguments: list[str]) -> dict[str, Any]:
        asked.append(arguments)
        return {"rows_per_second": 9.0 if "4" in arguments[-2:] else 5.0}

    monkeypatch.setattr(trl_settings, "run_side", run_side)
    work, memory = Work(tmp_path, rows, precision="fp32", cpu=True), tmp_path / "memory.json"
    assert fastest_settings(work, "tuned", memory) == ["--micro-batch", "4"]
    assert len(asked) == 5
    assert fastest_settings(work, "tuned", memory) == ["--micro-batch", "4"]
    assert len(asked) == 5
    fastest_settings(Work(tmp_path, rows, precision="fp32", batch=8, cpu=True), "tuned", memory)
    assert len(asked) == 9
    monkeypatch.setattr(trl_settings, "versions", lambda: {"trl": "a later one"})
    fastest_settings(work, "tuned", memory)
    assert len(asked) == 14


def test_a_setting_that_fails_is_not_chosen_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("")

    def run_side(module: str, arguments: list[str]) -> dict[str, Any]:
        if "16" in arguments[-2:]:
            raise SideFailed(f"{module} failed:\nout of memory")
        return {"rows_per_second": 1.0 if "8" in arguments[-2:] else 0.5}

    work, memory = Work(tmp_path, rows, precision="fp32", cpu=True), tmp_path / "memory.json"
    monkeypatch.setattr(trl_settings, "run_side", run_side)
    assert fastest_settings(work, "tuned", memory) == ["--micro-batch", "8"]


@pytest.mark.parametrize("why", ["CUDA out of memory", "no such flag"])
def test_where_no_setting_could_be_tried_none_is_remembered(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    rows, memory = tmp_path / "rows.jsonl", tmp_path / "memory.json"
    rows.write_text("")

    def run_side(module: str, _arguments: list[str]) -> dict[str, Any]:
        raise SideFailed(f"{module} failed:\n{why}")

    monkeypatch.setattr(trl_settings, "run_side", run_side)
    with pytest.raises(SideFailed, match="no setting that fits" if "memory" in why else "no such flag"):
        fastest_settings(Work(tmp_path, rows, precision="fp32", cpu=True), "tuned", memory)
    assert not memory.exists()


def test_the_ratio_is_that_of_the_medians_and_the_sides_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    speeds = {"ours": [30.0, 10.0, 20.0], "theirs": [5.0, 50.0, 4.0]}

    def run_side(module: str, _arguments: list[str]) -> dict[str, Any]:
        order.append("ours" if module == OURS else "theirs")
        return side([8.0], [1.0], speeds[order[-1]].pop(0))

    monkeypatch.setattr(sides, "run_side", run_side)
    found = train_vs_trl.compared(Work(tmp_path, tmp_path), "default", 3)
    assert found["ratio"] == 4.0
    assert found["ours"]["spread"]["rows_per_second"] == [10.0, 30.0]
    assert found["ours"]["spread"]["cpu_seconds"] == pytest.approx([32 / 30, 3.2])
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "qlora"])
def test_both_sides_train_the_same_steps(tuning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS))
    model, rows = make_model(tmp_path / "model", SHAPES["tiny"], text), write_rows(tmp_path / "rows.jsonl")
    monkeypatch.setattr(train_vs_trl, "MEMORY", tmp_path / "memory.json")
    found = train_vs_trl.compared(
        Work(model, rows, batch=8, steps=3, precision="fp32" if tuning == "lora" else "bf16", qlora=tuning == "qlora", cpu=True),
        "default",
        1,
    )
    assert found["parity"]["holds"], json.dumps(found, indent=2)
    assert found["ours"]["steps_timed"] == found["peer"]["steps_timed"] == 2
