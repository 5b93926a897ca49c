"""What was measured of memory and time keeps its bounds, and is what the formulas say today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.architectures import Architecture
from app.domain.specs import TrainingSettings
from bench import memory_predictions, time_predictions
from bench.memory_predictions import CONFIGURATIONS, MEDIAN, WORST, errors_of, net, predicted, run
from bench.random_bases import BASES, STARTER, Measures, Rows, configuration_of, make_base, masked, work_of, write_rows
from bench.results_file import FOLDER
from bench.time_predictions import CALIBRATES
from bench.watched_runs import watch

LEAST_PARAMETERS = 60_000_000


def kept(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_memory_was_predicted_within_its_bounds() -> None:
    found = kept("memory_predictions")
    assert found["all"] == errors_of(found["measured"])
    large = [each for each in found["measured"] if each["parameters"] >= LEAST_PARAMETERS]
    assert len(large) >= 12
    for errors in (found["all"], found["unseen"], errors_of(large)):
        assert errors["median_error"] <= MEDIAN
        assert errors["worst_error"] <= WORST


def test_the_formula_says_today_what_it_said_when_it_was_measured() -> None:
    for each in kept("memory_predictions")["measured"]:
        assert net(predicted(each, "cpu"), "cpu") == each["predicted_bytes"], each["settings"]


def test_errors_are_those_of_what_was_measured() -> None:
    found = kept("memory_predictions")
    for each in found["measured"]:
        assert each["measured_bytes"] == each["peak_bytes"] - found["baseline_bytes"]
        assert each["error"] == pytest.approx(each["predicted_bytes"] / each["measured_bytes"] - 1, abs=1e-4)


def test_what_was_measured_is_what_is_configured() -> None:
    assert [(each["base"], each["settings"]) for each in kept("memory_predictions")["measured"]] == [
        (each.base, each.settings) for each in CONFIGURATIONS
    ]


def test_time_was_predicted_within_its_bounds() -> None:
    found = kept("time_predictions")
    assert found["all"] == errors_of(found["measured"])
    assert found["all"]["worst_error"] <= time_predictions.FLOOR


@pytest.mark.parametrize("number", range(len(time_predictions.CONFIGURATIONS)))
def test_steps_take_today_the_operations_by_which_their_time_was_predicted(number: int, tmp_path: Path) -> None:
    measured, configuration = kept("time_predictions")["measured"][number], time_predictions.CONFIGURATIONS[number]
    assert (measured["base"], measured["settings"]) == (configuration.base, configuration.settings)
    rows = write_rows(tmp_path / "rows.jsonl", configuration.rows)
    arch = Architecture.from_config(configuration_of(BASES[configuration.base]))
    # Every random base has the bundled base's tokenizer, so rows come to the same tokens without weights being made.
    today = [
        each.total for each in time_predictions.operations(arch, TrainingSettings.model_validate(configuration.settings), rows, STARTER)
    ]
    assert today == pytest.approx(measured["step_operations"], rel=1e-6)
    rate = today[CALIBRATES - 1] / measured["step_seconds"][CALIBRATES - 1]
    assert sum(today[CALIBRATES:]) / rate / sum(measured["step_seconds"][CALIBRATES:]) - 1 == pytest.approx(measured["error"], abs=0.002)


@pytest.mark.parametrize(("worst", "code"), [(0.25, 0), (0.26, 1)])
def test_a_prediction_that_is_too_far_off_fails_the_benchmark(worst: float, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"median_error": 0.05, "worst_error": worst}
    monkeypatch.setattr("sys.argv", ["bench", "--predict"])
    monkeypatch.setattr(memory_predictions, "with_errors", lambda *_: {"measured": [], "all": errors, "unseen": errors})
    monkeypatch.setattr(Path, "write_text", lambda *_args, **_named: 0)
    with pytest.raises(SystemExit) as ended:
        memory_predictions.main()
    assert int(ended.value.code or 0) == code


def test_a_real_run_is_watched_from_outside(tmp_path: Path) -> None:
    make_base(tmp_path / "base", Measures("llama", 2, 64, 96, 2, 2, 8192, head=32), dtype="float32")
    rows, held_out = write_rows(tmp_path / "rows.jsonl", Rows(8, 32)), write_rows(tmp_path / "few.jsonl", Rows(1, 16))
    settings = {"max_steps": 2, "batch_size": 4, "max_length": 32, "precision": "fp32", "device": "cpu"}
    found = watch(
        {"base_model": str(tmp_path / "base"), "dataset": str(rows), "eval_dataset": str(held_out), "settings": settings}, tmp_path
    )
    assert len(found.steps) == 2
    assert min(found.steps) > 0
    assert found.peak_bytes > 100_000_000
    assert found.started["processes"] == 1
    assert found.metrics["train/loss"] > 0
    work = work_of(rows, tmp_path / "base", 32, 2)
    assert (work.rows, work.longest_tokens) == (8, 31)


def test_rows_vary_where_they_are_to(tmp_path: Path) -> None:
    make_base(tmp_path / "base", Measures("llama", 1, 32, 32, 1, 1, 8192, head=32), dtype="float32")
    lengths = [len(row.ids) for row in masked(write_rows(tmp_path / "rows.jsonl", Rows(20, 128, mixed=True)), tmp_path / "base", 128)]
    assert max(lengths) == 128
    assert len(set(lengths)) > 5


def test_settings_of_a_configuration_are_a_run_s() -> None:
    for configuration in CONFIGURATIONS:
        TrainingSettings.model_validate(configuration.settings)
        assert configuration.base in BASES
    assert run("qwen3", 2, 64, mixed=True).rows == Rows(6, 64, mixed=True)
