"""What the docs say was measured is what bench/results holds."""

from __future__ import annotations

import json

from app.domain.specs import PRESETS, Preset, TrainingSettings
from bench.presets import CENTRE, table
from tests.conftest import ROOT


def test_the_table_of_presets_is_the_measured_one() -> None:
    tried = json.loads((ROOT / "bench" / "results" / "presets.json").read_text(encoding="utf-8"))["tried"]
    assert table(tried) in (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")


def test_the_presets_are_what_was_tried() -> None:
    assert PRESETS[Preset.QUICK] == {"epochs": CENTRE["epochs"], "rank": CENTRE["rank"]}
    assert TrainingSettings().batch_size == CENTRE["batch_size"]
    assert TrainingSettings().filled_in(training_rows=10, parameters=7_000_000).learning_rate == CENTRE["learning_rate"]


def test_the_table_of_parameter_counts_is_the_measured_one() -> None:
    rows = json.loads((ROOT / "bench" / "results" / "parameter_counts.json").read_text(encoding="utf-8"))["models"]
    lines = "\n".join(f"| {row['model']} | {row['published']:,} | {row['gap']:,} | {row['kind']} |" for row in rows)
    assert lines in (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
