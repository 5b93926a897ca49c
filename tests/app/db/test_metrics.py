"""Curves: chunks and tail, tokens, thinning."""

from __future__ import annotations

import math

from sqlalchemy import Engine, func, select

from app.db import MetricChunk, MetricPoint
from app.db.metrics import CHUNK_POINTS, Point, append, latest, read, read_many
from app.db.session import reading, unit_of_work
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run


def points(first: int, last: int, offset: float = 0.0) -> list[Point]:
    return [Point(step, "train/loss", offset + 1 / step) for step in range(first, last + 1)]


def test_long_curves_become_chunks_and_read_back_exactly(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        for first in range(1, 2501, 100):
            append(session, run_id, 1, points(first, first + 99))
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(MetricChunk)) == 2
        assert session.scalar(select(func.count()).select_from(MetricPoint)) == 2500 - 2 * math.ceil(CHUNK_POINTS / 100) * 100
        assert read(session, run_id, "train/loss") == points(1, 2500)
        assert latest(session, run_id)["train/loss"] == Point(2500, "train/loss", 1 / 2500)


def test_repeated_steps_take_the_newest_tokens_values(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        append(session, run_id, 1, points(1, 1500))
        append(session, run_id, 2, points(1401, 1450, offset=7.0))
    with reading(engine) as session:
        values = {p.step: p.value for p in read(session, run_id, "train/loss")}
    assert values[1400] == 1 / 1400
    assert values[1401] == 7.0 + 1 / 1401
    assert values[1451] == 1 / 1451


def test_a_thinned_curve_keeps_its_ends_and_its_extremes(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    curve = points(1, 900)
    curve[449] = Point(450, "train/loss", 50.0)
    with unit_of_work(engine) as session:
        append(session, run_id, 1, curve)
    with reading(engine) as session:
        thin = read(session, run_id, "train/loss", max_points=50)
    assert len(thin) <= 50
    assert (thin[0].step, thin[-1].step) == (1, 900)
    assert Point(450, "train/loss", 50.0) in thin


def test_a_diverged_value_is_kept_as_it_is(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        append(session, run_id, 1, [Point(step, "train/grad_norm", math.inf) for step in range(1, CHUNK_POINTS + 1)])
    with reading(engine) as session:
        assert read(session, run_id, "train/grad_norm")[5].value == math.inf


def test_curves_of_several_runs_are_read_at_once_and_kept_apart(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    first, second, silent = (add_run(engine, owner, dataset) for _ in range(3))
    with unit_of_work(engine) as session:
        append(session, first, 1, [Point(n, "eval/loss", float(n)) for n in range(CHUNK_POINTS + 5)])
        append(session, second, 1, [Point(1, "eval/loss", 0.5), Point(1, "train/loss", 9.0)])
        append(session, second, 2, [Point(1, "eval/loss", 0.4)])
    with reading(engine) as session:
        curves = read_many(session, [first, second, silent], "eval/loss", 30)
        assert curves[first] == read(session, first, "eval/loss", 30)
    assert curves.keys() == {first, second}
    assert curves[second] == [Point(1, "eval/loss", 0.4)]
