"""Trackers' libraries for real, each in its process: what arrives, what is told, and how long a run waits for them at most."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from huggingface_hub import constants

from app.domain.events import Event, Finished, Metric, Started
from app.domain.tracking import Tracker, Tracking
from tests.waiting import until
from tests.workers.training.trackers.stand_in import serving
from workers.training.base_model import stay_offline
from workers.training.trackers import feed, program
from workers.training.trackers.__main__ import make_client
from workers.training.trackers.feed import Trackers
from workers.training.trackers.program import TrackerProgram
from workers.training.trackers.words import Unusable

KEY = "0123456789abcdef0123456789abcdef01234567"
FACTS = {"base": "acme/small", "base_dir": "/srv/ann/small", "rows": 54, "settings": {"rank": 8, "max_steps": None}}


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide whatever trackers this machine is set up with."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_", "TRACKIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "250")
    monkeypatch.setattr(program, "PROGRAM", "tests.workers.training.trackers.unhurried")


def events(first: int = 1, last: int = 3) -> list[Event]:
    numbers: list[Event] = [Metric(step=step, name="train/loss", value=1 / step) for step in range(first, last + 1)]
    begun = Started(message="Ann's run", step=first - 1, data=FACTS)
    return [begun, *numbers, Metric(step=last, name="eval/loss", value=0.5), Finished(status="succeeded", reason="Ann")]


def track(tracker: Tracker, out: Path, given: list[Event], *, awaited: bool = True) -> tuple[list[str], float]:
    """Feed one tracker as a run would, awaiting a word about it or not; return what was told, and how long the end took."""
    told: list[str] = []
    out.mkdir(exist_ok=True)
    trackers = Trackers(out, Tracking(trackers=(tracker,), run_id="run-1", name="colours", dataset="mails.jsonl"), told.append)
    for event in given:
        trackers.hear(event)
    # What its process was not even given when the run ends is another sentence.
    until(lambda: not any(outlet._waiting.qsize() or outlet._in_hand for outlet in trackers._outlets))
    if awaited:
        until(lambda: told)
    began = time.monotonic()
    trackers.close()
    return told, time.monotonic() - began


def words_of(process: psutil.Process) -> list[str]:
    """Return how a process was called; nothing of one that has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kept_by_wandb(file: Path) -> Iterator[str]:
    """Read the records that wandb keeps (LevelDB's log format, https://github.com/google/leveldb/blob/main/doc/log_format.md)."""
    from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    content, place = file.read_bytes(), 7
    while place < len(content):
        size = int.from_bytes(content[place + 4 : place + 6], "little")
        assert content[place + 6] == 1  # a whole record: those of a short run lie in one block
        yield MessageToJson(Record.FromString(content[place + 7 : place + 7 + size]))
        place += 7 + size


def is_said(word: str, text: str) -> bool:
    """Tell whether it stands there by itself: a machine's short name may be a part of some word by chance."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def test_mlflow_gets_settings_and_numbers_and_a_later_attempt_goes_on_in_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patient: None
) -> None:
    with serving() as server:
        for first, last in ((1, 3), (3, 5)):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
            monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", KEY)
            assert track(Tracker.MLFLOW, tmp_path, events(first, last), awaited=False)[0] == []
        assert list(server.runs) == ["r0"]
        run = server.runs["r0"]
    assert (run["name"], run["status"], server.keys) == ("colours", "FINISHED", {f"Bearer {KEY}"})
    assert run["params"] == {"base": "acme/small", "rows": "54", "rank": "8", "dataset": "mails.jsonl"}
    assert {(step, name): value for step, name, value in run["metrics"]} == {
        **{(step, "train/loss"): 1 / step for step in range(1, 6)}, (3, "eval/loss"): 0.5, (5, "eval/loss"): 0.5,
    }  # fmt: skip
    assert "ann" not in json.dumps(run).lower()


def test_settings_that_mlflow_did_not_take_when_the_run_began_follow_and_none_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    with serving() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        client = make_client(Tracker.MLFLOW, Tracking(run_id="run-1", name="colours"), tmp_path)
        server.broken = "runs/log-batch"
        with pytest.raises(MlflowException):
            client.open({"rank": 8})
        server.broken = ""
        for settings in ({"rank": 8}, {"rank": 16, "base": "small"}):
            client.open(settings)
    (run,) = server.runs.values()
    assert run["params"] == {"rank": "8", "base": "small"}


def test_wandb_keeps_a_run_beside_it_without_a_network_and_names_no_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patient: None
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert track(Tracker.WANDB, tmp_path / "out", events(), awaited=False)[0] == []
    # Its own process, told where to say its port, has written everything once it has ended.
    assert [each for each in psutil.process_iter() if str(tmp_path) in " ".join(words_of(each))] == []
    (kept,) = (tmp_path / "out" / "wandb").glob("offline-run-*-run-1/run-run-1.wandb")
    said = "\n".join(kept_by_wandb(kept))
    assert [word for word in ("colours", "mails.jsonl", "acme/small", "train/loss") if not is_said(word, said)] == []
    assert [word for word in ("/srv/ann", "Ann's", str(tmp_path)) if word.encode() in kept.read_bytes()] == []
    assert not is_said(socket.gethostname(), said)


def test_trackio_keeps_a_file_and_a_later_attempt_goes_on_in_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patient: None
) -> None:
    for first, last in ((1, 3), (4, 5)):
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
        assert track(Tracker.TRACKIO, tmp_path / "out", events(first, last), awaited=False)[0] == []
    with sqlite3.connect(tmp_path / "trackio" / "hone.db") as database:
        rows = database.execute("SELECT run_id, run_name, step, metrics FROM metrics ORDER BY step").fetchall()
        (settings,) = database.execute("SELECT config FROM configs").fetchone()
    database.close()
    assert [(step, json.loads(metrics)["train/loss"]) for _, _, step, metrics in rows] == [(step, 1 / step) for step in range(1, 6)]
    assert {(run_id == rows[0][0], name) for run_id, name, *_ in rows} == {(True, "colours run-1")}
    assert {"rank": 8, "dataset": "mails.jsonl"}.items() <= json.loads(settings).items()
    assert "_Username" not in json.loads(settings)


ADDRESSES = {Tracker.MLFLOW: "MLFLOW_TRACKING_URI", Tracker.WANDB: "WANDB_BASE_URL", Tracker.TRACKIO: "TRACKIO_SERVER_URL"}
KEYS = {Tracker.MLFLOW: "MLFLOW_TRACKING_TOKEN", Tracker.WANDB: "WANDB_API_KEY", Tracker.TRACKIO: "TRACKIO_WRITE_TOKEN"}


@pytest.mark.parametrize("tracker", list(Tracker))
def test_a_tracker_that_refuses_is_told_once_and_nobody_waits_for_it(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patient: None, nobody: str
) -> None:
    monkeypatch.setenv(ADDRESSES[tracker], nobody)
    monkeypatch.setenv(KEYS[tracker], KEY)
    told, seconds = track(tracker, tmp_path, events())
    assert told[0] == (
        f"{tracker.words} cannot be reached: the connection was refused. "
        "The run goes on; its numbers are sent when that is over, and are all here."
    )
    assert [KEY in line for line in told] == [False] * len(told)
    assert seconds < feed.END_SECONDS / 2


@pytest.mark.parametrize("tracker", list(Tracker))
def test_a_tracker_with_an_error_of_its_own_is_told_once(tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("error") as server:
        monkeypatch.setenv(ADDRESSES[tracker], server.address)
        monkeypatch.setenv(KEYS[tracker], KEY)
        told, _ = track(tracker, tmp_path, events())
    assert told[0].startswith(f"{tracker.words} cannot be reached: it has an error of its own.")


@pytest.mark.parametrize("tracker", list(Tracker))
def test_a_tracker_that_hangs_holds_up_the_end_for_a_bounded_time(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "END_SECONDS", 1.0)
    with serving("hangs") as server:
        monkeypatch.setenv(ADDRESSES[tracker], server.address)
        monkeypatch.setenv(KEYS[tracker], KEY)
        told, seconds = track(tracker, tmp_path, events(), awaited=False)
        assert told == [f"{tracker.words} did not take the last numbers in time. They are all here, in the run's own record."]
        assert seconds < 30.0


def test_a_run_that_is_told_to_leave_waits_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LEAVING_SECONDS", 0.3)
    monkeypatch.setattr(feed, "END_SECONDS", 60.0)
    with serving("hangs") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        _, seconds = track(Tracker.MLFLOW, tmp_path, [*events()[:-1], Finished(status="interrupted")], awaited=False)
    assert seconds < 15.0


@pytest.mark.parametrize("manner", ["refuses", "error"])
def test_without_the_guard_an_outage_would_be_the_run_s(manner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    from mlflow.exceptions import MlflowException

    with serving("error") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address if manner == "error" else nobody)
        client = make_client(Tracker.MLFLOW, Tracking(run_id="run-1"), tmp_path)
        with pytest.raises(MlflowException):
            client.open({})


def test_an_address_that_is_missing_is_told_and_not_tried_again(tmp_path: Path) -> None:
    told, _ = track(Tracker.MLFLOW, tmp_path, events())
    assert told == ["MLflow gets no numbers: MLFLOW_TRACKING_URI does not say where it is. The run goes on without it."]


def test_a_library_that_is_missing_is_named_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(Unusable, match=r"its library is not installed here\. Install it with: pip install wandb"):
        make_client(Tracker.WANDB, Tracking(), tmp_path)


def test_the_trainer_keeps_no_key_of_a_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    Trackers(tmp_path, Tracking(), lambda _: None).close()
    assert "WANDB_API_KEY" not in os.environ


def test_of_several_trackers_only_the_one_that_may_lie_on_the_hub_gets_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "TRACKIO_SPACE_ID"):
        monkeypatch.setenv(name, KEY)
    given = {one: TrackerProgram(one, Tracking(), tmp_path, print)._environment for one in (Tracker.WANDB, Tracker.TRACKIO)}
    assert [set(each) & {"HF_TOKEN", "WANDB_API_KEY", "TRACKIO_SPACE_ID"} for each in given.values()] == [
        {"WANDB_API_KEY"}, {"HF_TOKEN", "TRACKIO_SPACE_ID"},
    ]  # fmt: skip


def test_the_trainer_keeps_no_key_of_the_hub_once_it_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", constants.HF_HUB_OFFLINE)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, KEY)
    stay_offline()
    assert (os.environ.get("HF_TOKEN"), os.environ.get("HUGGING_FACE_HUB_TOKEN"), os.environ["HF_HUB_OFFLINE"]) == (None, None, "1")
