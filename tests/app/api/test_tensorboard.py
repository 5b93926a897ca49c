"""A run's numbers for TensorBoard, over REST and from its page."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from app.db import metrics
from app.db.metrics import Point
from app.db.session import unit_of_work
from app.services import curves
from app.services.accounts import Identity
from app.services.studio import Studio
from tests.app.api.test_rest import client, owner, studio
from tests.databases import add_dataset, add_run

__all__ = ["client", "owner", "studio"]
LOSSES = [Point(step, "train/loss", 1 / step) for step in range(1, 1500)]


def test_all_numbers_so_far_are_a_folder_that_tensorboard_draws(
    client: TestClient, studio: Studio, owner: Identity, tmp_path: Path
) -> None:
    facts = {"base": "hone-starter", "base_dir": "/srv/models/starter"}
    spec = {"settings": {"rank": 8, "max_steps": None}}
    run = add_run(studio.engine, owner, add_dataset(studio.engine, owner), name="Ä / ../mails", facts=facts, spec=spec)
    with unit_of_work(studio.engine) as session:
        metrics.append(session, run, 1, [*LOSSES, Point(5, "eval/loss", 9.0)])
        metrics.append(session, run, 2, [Point(5, "eval/loss", 0.5)])
    for address in (f"/api/v1/runs/{run}/tensorboard.zip", f"/runs/{run}/tensorboard.zip"):
        answer = client.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        assert answer.headers["content-disposition"] == 'attachment; filename="mails-tensorboard.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    found = EventAccumulator(str(tmp_path / "mails"), size_guidance={"scalars": 0})
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("eval/loss")] == [(5, 0.5)]
    assert [event.step for event in found.Scalars("train/loss")] == [point.step for point in LOSSES]
    begun = metadata.parse_session_start_info_plugin_data(found.PluginTagToContent("hparams")[metadata.SESSION_START_INFO_TAG])
    assert sorted(begun.hparams) == ["base", "dataset", "rank"]


def test_of_a_long_curve_so_much_is_packed_as_shows_its_form(
    client: TestClient, studio: Studio, owner: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MAX_POINTS", 100)
    run = add_run(studio.engine, owner, add_dataset(studio.engine, owner), name="long")
    peak = Point(700, "train/loss", 2.0)
    with unit_of_work(studio.engine) as session:
        metrics.append(session, run, 1, [peak if point.step == peak.step else point for point in LOSSES])
    with zipfile.ZipFile(io.BytesIO(client.get(f"/api/v1/runs/{run}/tensorboard.zip").content)) as archive:
        archive.extractall(tmp_path)
    found = EventAccumulator(str(tmp_path / "long"), size_guidance={"scalars": 0})
    steps = [event.step for event in found.Reload().Scalars("train/loss")]
    assert len(steps) <= 100
    assert {1, peak.step, 1499} <= set(steps)


def test_a_run_without_numbers_has_nothing_for_tensorboard(client: TestClient, studio: Studio, owner: Identity) -> None:
    run = add_run(studio.engine, owner, add_dataset(studio.engine, owner))
    refused = client.get(f"/api/v1/runs/{run}/tensorboard.zip")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_numbers")
