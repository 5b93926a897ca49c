"""Whatever is done to a file, an import ends with a report, and leaves its rows or nothing behind."""

from __future__ import annotations

import random
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.domain.datasets import DatasetStatus
from tests.workers.curation.conftest import Importer
from tests.workers.curation.spoiling import FORMS, SPOILERS

MEBIBYTES_MORE = 400
WAYS = st.lists(st.sampled_from(sorted(SPOILERS)), min_size=2, max_size=4)


def check(imported: Importer, content: bytes, name: str) -> None:
    found = imported(content, name)
    is_ready = found.report.status is DatasetStatus.READY
    assert found.files == (["rows.parquet"] if is_ready else [])
    assert len(found.rows) == found.report.rows
    assert is_ready or found.reason
    assert found.report.problem_count == sum(found.report.aside.values())
    assert all(problem.line >= 1 and problem.reason for problem in found.report.problems)


@pytest.mark.parametrize("name", FORMS)
def test_a_whole_file_is_read_whole(imported: Importer, name: str) -> None:
    found = imported(FORMS[name], name)
    assert (found.report.status, found.report.problem_count) == ("ready", 0), found.reason
    assert found.report.rows >= 2


@pytest.mark.parametrize("name", FORMS)
def test_every_way_to_spoil_a_file_ends_with_a_report(imported: Importer, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for place, spoil in enumerate(SPOILERS.values()):
        check(imported, spoil(FORMS[name], random.Random(place)), name)  # noqa: S311 - no secret, but the same noise every time
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEBIBYTES_MORE * 1024


def spoilt(name: str, ways: list[str], seed: int) -> bytes:
    dice, content = random.Random(seed), FORMS[name]  # noqa: S311 - no secret
    for way in ways:
        content = SPOILERS[way](content, dice)[: 4 * 2**20]
    return content


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(FORMS)), WAYS, st.integers(0, 2**32))
@example("rows.xlsx", ["no numbers", "one bit flipped"], 2)  # its packed parts do not unpack
def test_several_ways_at_once_do_too(imported: Importer, name: str, ways: list[str], seed: int) -> None:
    check(imported, spoilt(name, ways, seed), name)


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from(sorted(FORMS)), WAYS, st.integers(0, 2**32), st.sampled_from([*FORMS, "rows", "x.txt", "a.json"]))
def test_thousands_of_them_under_any_name(imported: Importer, name: str, ways: list[str], seed: int, called: str) -> None:
    check(imported, spoilt(name, ways, seed), called)


@pytest.mark.parametrize("name", ["../../x.jsonl", "\0.jsonl", "\ud800.csv", "n" * 5_000, "", "a\nb.json", "\u202egpj.lnosj"])
def test_a_files_name_does_no_harm(tmp_path: Path, imported: Importer, name: str) -> None:
    assert imported(FORMS["chat.jsonl"], name).report.rows == 12
    assert "PNG" in imported(b"\x89PNG\r\n\x1a\n\0", name).reason
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} <= {tmp_path, tmp_path / "out"}
