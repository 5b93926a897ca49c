"""Runs side by side: what differs, what is best, and what says nothing because it was measured on something else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, event

from app.db import Run, metrics
from app.db.base import utc_now
from app.db.session import reading, unit_of_work
from app.domain.errors import Invalid, NotFound
from app.domain.specs import Preset, settings_for
from app.services.accounts import Identity
from app.services.comparison import Comparison, compare, document
from app.services.runs import Runs
from tests.databases import add_dataset, add_run


def measured(engine: Engine, by: Identity, dataset_id: str, loss: float, *, base: str = "hone-starter", **settings: object) -> str:
    """A run that was checked twice."""
    filled = settings_for(Preset.BALANCED, dict(settings)).filled_in(training_rows=18, parameters=6_000_000).model_dump(mode="json")
    spec = {"base_model": base, "dataset": "x.jsonl", "method": "sft", "settings": filled}
    run_id = add_run(engine, by, dataset_id, spec=spec, base_model=base, name=f"run {loss}", status="succeeded", step=10)
    with unit_of_work(engine) as session:
        run = session.get_one(Run, run_id)
        run.started_at, run.finished_at = utc_now() - timedelta(seconds=60), utc_now()
        points = [metrics.Point(5, "eval/loss", loss), metrics.Point(10, "eval/loss", loss + 0.1), metrics.Point(10, "train/loss", loss)]
        metrics.append(session, run_id, 1, [*points, metrics.Point(10, "eval/exact_match", 1 - loss)])
    return run_id


def side_by_side(engine: Engine, by: Identity, *ids: str) -> Comparison:
    with reading(engine) as session:
        return compare(session, Runs(session, None, None, None), by, ids)  # type: ignore[arg-type]


@pytest.fixture
def pair(engine: Engine, owner: Identity) -> tuple[str, str]:
    dataset = add_dataset(engine, owner)
    return measured(engine, owner, dataset, 0.5), measured(engine, owner, dataset, 0.4, rank=64)


def test_the_last_and_the_best_held_out_loss_are_told_apart(engine: Engine, owner: Identity, pair: tuple[str, str]) -> None:
    scores = {one.measure.name: one for one in side_by_side(engine, owner, *pair).scores}
    assert scores["eval/loss"].values == (0.6, 0.5)
    assert scores["eval/loss:best"].values == (0.5, 0.4)
    assert scores["eval/loss:best"].best == {1}
    assert scores["eval/exact_match"].best == {1}
    assert "memory/peak_bytes" not in scores


def test_only_what_differs_is_told_and_all_of_it_on_request(engine: Engine, owner: Identity, pair: tuple[str, str]) -> None:
    found = side_by_side(engine, owner, *pair)
    assert [(row.name, row.values) for row in found.differing] == [("rank", ("16", "64"))]
    assert {"rank", "epochs", "base_model"} <= {row.name for row in found.all_rows}
    assert found.notes == []


def test_checked_on_other_rows_means_not_comparable_and_says_which(engine: Engine, owner: Identity, pair: tuple[str, str]) -> None:
    other = add_dataset(engine, owner, rows=40)
    with unit_of_work(engine) as session:
        third = measured(engine, owner, other, 0.1)
        session.get_one(Run, third).version.artifact.sha256 = "1" * 64
    found = side_by_side(engine, owner, pair[0], third)
    assert all(not one.best for one in found.scores if one.measure.is_of_quality)
    assert "not comparable" in found.notes[0]
    assert "run 0.1 on 2 rows of e-mails" in found.notes[0]


def test_losses_of_different_bases_are_not_ranked_but_exact_match_is(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    ids = [measured(engine, owner, dataset, 0.5), measured(engine, owner, dataset, 0.4, base="org/other")]
    found = side_by_side(engine, owner, *ids)
    scores = {one.measure.name: one.best for one in found.scores}
    assert (scores["eval/loss"], scores["eval/exact_match"]) == (frozenset(), frozenset({1}))
    assert any("Losses of different base models" in note for note in found.notes)


def test_speed_on_different_devices_is_not_ranked(engine: Engine, owner: Identity, pair: tuple[str, str]) -> None:
    with unit_of_work(engine) as session:
        for run_id, device in zip(pair, ("cpu", "cuda:0"), strict=True):
            run = session.get_one(Run, run_id)
            run.facts = {"device": device}
            run.started_at = utc_now() - timedelta(seconds=90 if device == "cpu" else 30)
    found = side_by_side(engine, owner, *pair)
    assert next(one for one in found.scores if one.measure.name == "seconds").best == frozenset()
    assert "different devices" in found.notes[0]


def test_the_document_holds_the_curves_in_order(engine: Engine, owner: Identity, pair: tuple[str, str]) -> None:
    told = document(side_by_side(engine, owner, *reversed(pair)))
    assert [run["id"] for run in told["runs"]] == list(reversed(pair))
    assert told["runs"][0]["held_out_loss"] == [(5, 0.4), (10, 0.5)]


def test_curves_are_read_for_all_runs_at_once(engine: Engine, owner: Identity, pair: tuple[str, str]) -> None:
    third = measured(engine, owner, add_dataset(engine, owner), 0.3)
    reads: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: reads.append(str(told[2])))
    found = side_by_side(engine, owner, *pair, third)
    assert sum("FROM metric_points" in read for read in reads) == 2
    assert [len(curves.held_out) for curves in found.curves] == [2, 2, 2]


def test_too_few_and_strangers_are_refused(engine: Engine, owner: Identity, pair: tuple[str, str]) -> None:
    with pytest.raises(Invalid):
        side_by_side(engine, owner, pair[0])
    with pytest.raises(NotFound):
        side_by_side(engine, Identity("u", "x", "other", "other"), *pair)
