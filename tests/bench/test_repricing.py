"""Re-pricing is measured with settings that really change, and what was measured is under its ceiling."""

from __future__ import annotations

import json
from itertools import pairwise

from app.domain.specs import Preset, settings_for
from bench import repricing
from bench.results_file import FOLDER


def test_each_request_asks_for_other_settings_that_a_run_takes() -> None:
    asked = list(repricing.settings(50))
    assert sum(one != other for one, other in pairwise(asked)) >= 40
    for fields in asked:
        settings_for(Preset(fields["preset"]), {name: value for name, value in fields.items() if name != "preset"})


def test_what_was_measured_is_under_the_ceiling() -> None:
    found = json.loads((FOLDER / "repricing.json").read_text(encoding="utf-8"))
    assert [answer["base"] for answer in found["answers"]] == list(repricing.BASES)
    assert found["p95_ms"] == max(answer["p95_ms"] for answer in found["answers"]) <= repricing.MOST_MS
    assert all(answer["requests"] >= 200 for answer in found["answers"])
