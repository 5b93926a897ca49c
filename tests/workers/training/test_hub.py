"""Bases from the Hub, against a stand-in on this machine: fetched once, only what is safe, checked before it is loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.small_disk import filled, small_disk
from tests.hub_server import COMMIT, HubServer, hub
from tests.workers.conftest import make_base

ROWS = [{"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "yes"}]} for n in range(12)]


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good model with a pickle beside its weights, and one that wants to run its own code."""
    folder = tmp_path_factory.mktemp("hub")
    good = make_base(folder / "good")
    (good / "pytorch_model.bin").write_bytes(b"\x80\x04pickle")
    (good / "modeling_own.py").write_text("raise SystemExit('foreign code was run')")
    own_code = Path(shutil.copytree(good, folder / "own-code"))
    config = json.loads((own_code / "config.json").read_text())
    (own_code / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "modeling_own.Model"}}))
    return {"lab/good": good, "lab/own-code": own_code}


@pytest.fixture
def server(repos: dict[str, Path]) -> Iterator[HubServer]:
    with hub(repos) as started:
        yield started


def train(base: str, folder: Path, endpoint: str) -> tuple[int, str, list[dict[str, Any]]]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    spec = {"base_model": base, "dataset": "rows.jsonl", "settings": {"max_steps": 2, "precision": "fp32"}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1", "HONE_TRAINER_THREADS": "1"}
    command = [sys.executable, "-m", "workers.train", str(folder / "spec.yaml"), "--out", str(folder / "out")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    events = [json.loads(line) for line in (folder / "out" / "events.jsonl").read_text().splitlines()]
    return ended.returncode, ended.stderr, events


def test_a_base_is_fetched_by_its_id_pinned_to_its_commit_and_needs_no_hub_from_then_on(repos: dict[str, Path], tmp_path: Path) -> None:
    with hub(repos) as server:
        code, talk, events = train("lab/good", tmp_path, server.address)
    assert code == 0, talk
    config = json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("lab/good", COMMIT)
    fetched = {path.rpartition("/")[2] for path in server.asked if "/resolve/" in path}
    assert "model.safetensors" in fetched
    assert not {"pytorch_model.bin", "modeling_own.py"} & fetched
    started = next(event for event in events if event["type"] == "started")
    assert (Path(started["data"]["base_dir"]) / "config.json").is_file()
    done = [event["what"] for event in events if event["type"] == "doing"]
    # Rows may leave the cache while a large base is fetched, so they are read before.
    assert done.index("reading the rows") < done.index("fetching the base model")
    shutil.rmtree(tmp_path / "out")
    code, talk, _ = train("lab/good", tmp_path, server.address)
    assert code == 0, talk


@pytest.mark.parametrize(("base", "code"), [("lab/own-code", "remote_code"), ("lab/nothing", "unknown_model")])
def test_a_bad_base_fails_with_its_reason(server: HubServer, tmp_path: Path, base: str, code: str) -> None:
    exit_code, talk, events = train(base, tmp_path, server.address)
    assert exit_code == 1
    assert events[-1]["code"] == code
    assert "foreign code was run" not in talk


def test_a_gated_base_is_told_from_one_that_is_not_there(server: HubServer, tmp_path: Path) -> None:
    server.gated.add("lab/good")
    exit_code, _, events = train("lab/good", tmp_path, server.address)
    assert (exit_code, events[-1]["code"]) == (1, "gated_model")


@pytest.mark.mounts
def test_a_cache_without_room_is_a_full_disk_and_no_fault_of_the_hub_s(server: HubServer, tmp_path: Path) -> None:
    with small_disk(tmp_path / "hf", mebibytes=1), filled(tmp_path / "hf"):
        exit_code, _, events = train("lab/good", tmp_path, server.address)
    assert (exit_code, events[-1]["code"]) == (1, "disk_full")
    assert events[-1]["data"]["disk"] == str(tmp_path / "hf")


def test_a_hub_that_cannot_be_reached_is_said_so(tmp_path: Path) -> None:
    exit_code, _, events = train("lab/good", tmp_path, "http://127.0.0.1:9")
    assert exit_code == 1
    assert events[-1]["code"] == "hub_unreachable"
