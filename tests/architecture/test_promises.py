"""What docs/promises.md says was measured is what bench/results holds, and every promise has its test."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT
from tests.faults.harness.promises import PROMISES
from tests.faults.harness.results import PAGE, RESULTS, table


def test_the_page_of_promises_shows_the_last_results() -> None:
    assert table(json.loads(RESULTS.read_text(encoding="utf-8"))) in PAGE.read_text(encoding="utf-8")


def test_every_result_is_of_a_test_that_exists() -> None:
    for entry in json.loads(RESULTS.read_text(encoding="utf-8")):
        file, _, rest = entry["test"].partition("::")
        name = rest.partition("[")[0]
        assert f"def {name}(" in (ROOT / "tests" / "faults" / file).read_text(encoding="utf-8"), entry["test"]


@pytest.mark.parametrize("promise_id", PROMISES)
def test_every_promise_has_its_test(promise_id: str) -> None:
    text = (ROOT / "tests" / "faults" / PROMISES[promise_id].test).read_text(encoding="utf-8")
    assert f'record("{promise_id}"' in " ".join(text.split()).replace("record( ", "record(")
