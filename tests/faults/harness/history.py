"""What really happened, and whether that may be: an audit that the database itself keeps, and a checker in SQL.

The audit is a trigger, so no code of the product, right or wrong, can leave a change of a run out of it.
"""

# ruff: noqa: S608 - what goes into these queries stands in this file
from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, select, text

from app.db import Run, metrics
from app.db.artifacts import Artifact
from app.db.counters import STALE_WRITE_REJECTED, counted
from app.db.session import reading
from app.domain.ports import Storage
from tests.faults.harness.trainer import TOKEN_METRIC, loss_of, weights_after

COLUMNS = "(run_id, token, before, after, step, owner, at)"
VALUES = "(NEW.id, NEW.lease_token, OLD.status, NEW.status, NEW.step, NEW.lease_owner, {clock})"
CHANGED = "OLD.status <> NEW.status OR OLD.lease_token <> NEW.lease_token OR OLD.step <> NEW.step"
TABLE = (
    "CREATE TABLE history (id {serial}, run_id TEXT, token INTEGER, before TEXT, after TEXT, step INTEGER, owner TEXT, at DOUBLE PRECISION)"
)
SQLITE = [
    TABLE.format(serial="INTEGER PRIMARY KEY"),
    f"CREATE TRIGGER keep_history AFTER UPDATE ON runs WHEN {CHANGED} BEGIN INSERT INTO history {COLUMNS} VALUES "
    + VALUES.format(clock="(julianday('now') - 2440587.5) * 86400.0")
    + "; END",
]
POSTGRESQL = [
    TABLE.format(serial="BIGSERIAL PRIMARY KEY"),
    f"CREATE FUNCTION keep_history() RETURNS trigger AS $$ BEGIN INSERT INTO history {COLUMNS} VALUES "
    + VALUES.format(clock="extract(epoch from clock_timestamp())")
    + "; RETURN NULL; END $$ LANGUAGE plpgsql",
    f"CREATE TRIGGER keep_history AFTER UPDATE ON runs FOR EACH ROW WHEN ({CHANGED}) EXECUTE FUNCTION keep_history()",
]
FORGET = ["DROP TABLE history", "DROP FUNCTION keep_history CASCADE"]
ENDS = "('succeeded', 'failed', 'stopped', 'cancelled')"

MAY_NOT_BE = {
    "a run did not come to its end": "SELECT id || ' ' || status || ' ' || reason FROM runs WHERE status <> 'succeeded'",
    "a run ended more than once": f"""SELECT run_id FROM history WHERE after IN {ENDS} AND before <> after
        GROUP BY run_id HAVING COUNT(*) > 1""",
    "a run moved after its end": f"SELECT run_id FROM history WHERE before IN {ENDS}",
    "an end was told more than once, or never": f"""SELECT runs.id FROM runs LEFT JOIN events ON subject_id = runs.id AND type IN {ENDS}
        GROUP BY runs.id HAVING COUNT(events.id) <> 1""",
    "ends and the notices of them differ": """SELECT id FROM webhooks WHERE (SELECT COUNT(*) FROM webhook_deliveries) <>
        (SELECT COUNT(*) FROM runs WHERE status = 'succeeded')""",
    "a run has no adapter of its own": """SELECT id FROM runs WHERE adapter_id IS NULL
        OR adapter_id IN (SELECT adapter_id FROM runs GROUP BY adapter_id HAVING COUNT(*) > 1)""",
    "an adapter is nobody's": "SELECT id FROM artifacts WHERE kind = 'adapter' AND id NOT IN (SELECT adapter_id FROM runs)",
    "a number came from a holder that was not the holder any more": f"""SELECT run_id FROM metric_points
        WHERE name = '{TOKEN_METRIC}' AND value <> lease_token""",
    "a checkpoint came from a holder that was not the holder any more": """SELECT run_id FROM checkpoints
        WHERE path <> 'checkpoints/' || step || '-t' || lease_token""",
    "steps went back under one token, or an old token wrote after a newer one": """SELECT run_id FROM (
            SELECT run_id, step, lease_token, LAG(step) OVER w AS step_before, LAG(lease_token) OVER w AS token_before
            FROM metric_points WHERE name = 'train/loss' WINDOW w AS (PARTITION BY run_id ORDER BY id)
        ) AS points WHERE lease_token < token_before OR (lease_token = token_before AND step <= step_before)""",
    "a held run's step went back": """SELECT run_id FROM (
            SELECT run_id, after, token, step, LAG(step) OVER w AS step_before, LAG(token) OVER w AS token_before
            FROM history WINDOW w AS (PARTITION BY run_id ORDER BY id)
        ) AS moves WHERE token < token_before OR (token = token_before AND after = 'running' AND step < step_before)""",
    "one claim was given out twice": """SELECT run_id FROM history
        WHERE before = 'queued' AND after = 'starting' GROUP BY run_id, token HAVING COUNT(*) > 1""",
    "attempts and claims differ": """SELECT id FROM runs WHERE attempt <> lease_token OR attempt <>
        (SELECT COUNT(*) FROM history WHERE run_id = runs.id AND before = 'queued' AND after = 'starting')""",
}
"""Each query finds what may not be."""


@contextmanager
def kept_history(engine: Engine) -> Iterator[None]:
    """Have the database write down every change of a run for the time of a with block."""
    on_postgresql = engine.dialect.name == "postgresql"
    with engine.begin() as connection:
        for statement in POSTGRESQL if on_postgresql else SQLITE:
            connection.execute(text(statement))
    yield
    with engine.begin() as connection:
        for statement in FORGET if on_postgresql else ():
            connection.execute(text(statement))


def violations(engine: Engine, storage: Storage, steps: int) -> list[str]:
    """Return what happened and may not, in words; `steps`: of how many each run is."""
    found = []
    with engine.connect() as connection:
        for what, query in MAY_NOT_BE.items():
            found += [f"{what}: {run}" for run in connection.scalars(text(query))]
    return found + list(_wrong_results(engine, storage, steps))


def _wrong_results(engine: Engine, storage: Storage, steps: int) -> Iterator[str]:
    """Compare curves and adapters with what an undisturbed run gives."""
    curve = [(step, loss_of(weights_after(step))) for step in range(1, steps + 1)]
    with reading(engine) as session:
        for run in session.scalars(select(Run).where(Run.status == "succeeded")):
            if [(point.step, point.value) for point in metrics.read(session, run.id, "train/loss")] != curve:
                yield f"the curve is not an undisturbed run's: {run.id}"
            if run.adapter:
                weights, token = _read_adapter(storage, run.adapter)
                if weights != weights_after(steps):
                    yield f"the adapter is not an undisturbed run's: {run.id}"
                if token != run.lease_token:
                    yield f"the adapter came from a holder that was not the holder any more: {run.id}"


def _read_adapter(storage: Storage, adapter: Artifact) -> tuple[str, int]:
    with storage.path(adapter.sha256).open("rb") as file, zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        token = json.loads(archive.read("adapter_config.json"))["token"]
        return archive.read("adapter_model.safetensors").decode(), token


def refused_writes(engine: Engine) -> int:
    """Return how many writes of holders that were none any more have been refused."""
    with reading(engine) as session:
        return counted(session).get(STALE_WRITE_REJECTED, 0)


def next_start(engine: Engine, run_id: str, token: int) -> float | None:
    """Return when a run was claimed after the claim with `token`, by the database's clock."""
    later = text("SELECT MIN(at) FROM history WHERE run_id = :run AND token > :token AND after = 'starting'")
    with engine.connect() as connection:
        at: float | None = connection.scalar(later, {"run": run_id, "token": token})
        return at
