"""The four published costs: what the file says is what today's estimator predicts, and what it claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from bench.published_costs import CONSTANTS, COSTS, DEFAULTS, Choice, Published, dollars, table, told
from bench.results_file import FOLDER

KEPT: dict[str, Any] = json.loads((FOLDER / "published_costs.json").read_text(encoding="utf-8"))
SETS: list[dict[str, Any]] = [KEPT["verdict"], *KEPT["others"]]


def name(found: dict[str, Any]) -> str:
    return f"{found['provider']}-{found['card_of_24_gb']}"


@pytest.mark.parametrize("found", SETS, ids=name)
def test_the_file_says_what_the_estimator_predicts_today(found: dict[str, Any]) -> None:
    now = told(found["provider"], found["card_of_24_gb"], tuple(found["constants"].values()))
    assert found | now == found


@pytest.mark.parametrize("found", SETS, ids=name)
def test_a_set_that_is_said_to_meet_all_does_and_another_does_not(found: dict[str, Any]) -> None:
    off = [abs(run["predicted"] / run["published"] - 1) for run in found["runs"]]
    assert KEPT["within"] == 0.25
    assert found["meets_all"] is (max(off) <= 0.25)
    assert [run["published"] for run in found["runs"]] == [0.68, 4.5, 28.0, 56.0]


@pytest.mark.parametrize("found", SETS, ids=name)
def test_there_are_four_constants_and_each_is_in_its_range(found: dict[str, Any]) -> None:
    assert list(found["constants"]) == list(CONSTANTS) == list(KEPT["constants"])
    assert len(CONSTANTS) == 4
    for key, value in found["constants"].items():
        low, high = KEPT["constants"][key]["range"]
        assert low * 0.999 <= value <= high * 1.001
        assert KEPT["constants"][key]["why"]


def test_the_defaults_are_the_set_that_gives_all_four() -> None:
    assert tuple(KEPT["verdict"]["constants"].values()) == DEFAULTS
    assert KEPT["verdict"]["meets_all"]


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_the_command_line_tells_the_published_cost_within_a_quarter(cost: Published) -> None:
    asked = ["--params", f"{cost.parameters:g}", "--examples", str(cost.examples), "--tuning", cost.tuning, "--json"]
    quote = json.loads(CliRunner().invoke(cli, ["estimate", *asked]).stdout)
    assert quote["cost_usd"]["cheapest"] == pytest.approx(cost.dollars, rel=0.25)
    kept = next(run for run in KEPT["verdict"]["runs"] if run["run"] == cost.name)
    assert quote["cost_usd"]["cheapest"] == pytest.approx(kept["predicted"], abs=0.001)


def test_rent_is_hours_of_computing_and_beside_it_for_each_card() -> None:
    alone = Choice("one", 1, 2.0, 100e12, 100e12 * 3570, 0.0, 10)
    assert dollars(alone, 0.5, 0.1, 1.0) == pytest.approx((2 + 1) * 2)
    assert dollars(alone._replace(flops=0.0, least_seconds=3540.0), 0.5, 0.1, 1.0) == pytest.approx((1 + 1) * 2)


def test_the_docs_show_what_was_found(root: Path) -> None:
    assert table(SETS) in (root / "docs" / "estimates.md").read_text(encoding="utf-8")
