"""Numbers over steps: append-only chunks, a small live tail, and the latest value of each name.

A row a point would make a million rows a run; a chunk of 1,024 points is one row of two packed arrays. Points are keyed by the lease
token they were written under, and for each step the highest token wins: steps repeated after a crash replace what the crash left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sqlalchemy import ForeignKey, LargeBinary, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column
from tsdownsample import MinMaxLTTBDownsampler

from app.db.base import Base
from app.db.events import SerialId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHUNK_POINTS = 1024


class Point(NamedTuple):
    """A number at a step."""

    step: int
    name: str
    value: float


class MetricPoint(Base):
    """The live tail: points not yet in a chunk."""

    __tablename__ = "metric_points"

    id: Mapped[int] = mapped_column(SerialId, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    lease_token: Mapped[int]
    step: Mapped[int]
    value: Mapped[float]


class MetricChunk(Base):
    """About a thousand points of one name: steps as little-endian int64, values as float64."""

    __tablename__ = "metric_chunks"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    lease_token: Mapped[int] = mapped_column(primary_key=True)
    first_step: Mapped[int] = mapped_column(primary_key=True)
    last_step: Mapped[int]
    low: Mapped[float]
    high: Mapped[float]
    steps: Mapped[bytes] = mapped_column(LargeBinary)
    values: Mapped[bytes] = mapped_column(LargeBinary)


class MetricLatest(Base):
    """The newest value of each name: what lists and headers show."""

    __tablename__ = "metric_latest"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    step: Mapped[int]
    value: Mapped[float]


def append(session: Session, run_id: str, token: int, points: Iterable[Point]) -> None:
    """Add points under a token; the caller holds the lease."""
    newest: dict[str, Point] = {}
    for point in points:
        session.add(MetricPoint(run_id=run_id, lease_token=token, **point._asdict()))
        newest[point.name] = point
    for point in newest.values():
        session.merge(MetricLatest(run_id=run_id, **point._asdict()))
    session.flush()
    _fold(session, run_id)


def _fold(session: Session, run_id: str) -> None:
    """Turn every tail of a chunk's length into a chunk."""
    counted = select(MetricPoint.name, MetricPoint.lease_token).where(MetricPoint.run_id == run_id)
    full = session.execute(counted.group_by(MetricPoint.name, MetricPoint.lease_token).having(func.count() >= CHUNK_POINTS)).all()
    for name, token in full:
        mine = (MetricPoint.run_id == run_id, MetricPoint.name == name, MetricPoint.lease_token == token)
        points = session.execute(select(MetricPoint.step, MetricPoint.value).where(*mine).order_by(MetricPoint.id)).all()
        steps = np.array([p.step for p in points], dtype="<i8")
        values = np.array([p.value for p in points], dtype="<f8")
        session.add(
            MetricChunk(
                run_id=run_id,
                name=name,
                lease_token=token,
                first_step=int(steps[0]),
                last_step=int(steps[-1]),
                low=float(np.nanmin(values)),
                high=float(np.nanmax(values)),
                steps=steps.tobytes(),
                values=values.tobytes(),
            )
        )
        session.execute(delete(MetricPoint).where(*mine))


def names(session: Session, run_id: str) -> list[str]:
    """Return which metrics a run has."""
    return sorted(session.scalars(select(MetricLatest.name).where(MetricLatest.run_id == run_id)))


def latest(session: Session, run_id: str) -> dict[str, Point]:
    """Return the newest value of each of a run's metrics."""
    found = session.scalars(select(MetricLatest).where(MetricLatest.run_id == run_id))
    return {m.name: Point(m.step, m.name, m.value) for m in found}


def read(session: Session, run_id: str, name: str, max_points: int | None = None) -> list[Point]:
    """Return a metric by step, the highest token's value for each; thinned to `max_points` by MinMaxLTTB, ends and extremes kept."""
    return read_many(session, [run_id], name, max_points).get(run_id, [])


def read_many(session: Session, run_ids: Sequence[str], name: str, max_points: int | None = None) -> dict[str, list[Point]]:
    """Return a metric of several runs, as `read` does, in two queries however many they are."""
    return {run_id: points for (run_id, _), points in _curves(session, run_ids, [name], max_points).items()}


def read_each(session: Session, run_id: str, names: Sequence[str], max_points: int | None = None) -> list[list[Point]]:
    """Return several metrics of a run, each as `read` does, in two queries however many they are."""
    found = _curves(session, [run_id], names, max_points)
    return [found.get((run_id, name), []) for name in names]


def _curves(session: Session, run_ids: Sequence[str], names: Sequence[str], max_points: int | None) -> dict[tuple[str, str], list[Point]]:
    found: dict[tuple[str, str], dict[int, tuple[int, float]]] = {}
    chunks = select(MetricChunk).where(MetricChunk.run_id.in_(run_ids), MetricChunk.name.in_(names))
    for chunk in session.scalars(chunks):
        steps, values = np.frombuffer(chunk.steps, "<i8"), np.frombuffer(chunk.values, "<f8")
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            _keep_highest(found.setdefault((chunk.run_id, chunk.name), {}), step, chunk.lease_token, value)
    columns = (MetricPoint.run_id, MetricPoint.name, MetricPoint.step, MetricPoint.lease_token, MetricPoint.value)
    tails = select(*columns).where(MetricPoint.run_id.in_(run_ids), MetricPoint.name.in_(names)).order_by(MetricPoint.id)
    for run_id, name, step, token, value in session.execute(tails):
        _keep_highest(found.setdefault((run_id, name), {}), step, token, value)
    curves = {key: [Point(step, key[1], by_step[step][1]) for step in sorted(by_step)] for key, by_step in found.items()}
    return {key: thinned(points, max_points) for key, points in curves.items()}


def _keep_highest(by_step: dict[int, tuple[int, float]], step: int, token: int, value: float) -> None:
    if step not in by_step or by_step[step][0] <= token:
        by_step[step] = (token, value)


def thinned(points: list[Point], max_points: int | None) -> list[Point]:
    """Return at most `max_points` of `points`, chosen so that the curve looks the same."""
    if max_points is None or len(points) <= max_points:
        return points
    steps = np.array([p.step for p in points], dtype=np.int64)
    values = np.array([p.value for p in points], dtype=np.float64)
    chosen = MinMaxLTTBDownsampler().downsample(  # type: ignore[no-untyped-call]
        steps, values, n_out=max(3, max_points)
    )
    return [points[i] for i in chosen]
