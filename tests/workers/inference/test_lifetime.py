"""Starting, ending, and leaving the GPU to a run."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.driver import driver
from tests.workers.conftest import make_base
from tests.workers.inference.conftest import Running, running
from workers.inference.__main__ import _set_environment

__all__ = ["driver"]
PATH = "/v1/chat/completions"
FAKE_GPU = "cuda:0"
ASKED = [{"role": "user", "content": "Hello"}]


def ask(server: Running, base: Path) -> httpx.Response:
    return server.post(PATH, {"model": "m", "messages": ASKED, "max_tokens": 4, "hone": {"base_dir": str(base)}})


def huge_base(folder: Path) -> Path:
    """A folder that claims two thousand million weights; the file has a hole where they would be."""
    make_base(folder)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2000, 1_000_000], "data_offsets": [0, 4_000_000_000]}}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4_000_000_000)
    return folder


def test_it_says_that_it_lives_before_anything_is_loaded() -> None:
    with running() as server:
        assert httpx.get(f"{server.url}/livez").json() == {"status": "ok"}
        assert server.status() == {"loaded": None, "adapters": [], "yielded_to": None, "device": None}


def test_it_leaves_when_its_parent_does() -> None:
    with running() as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.wait(timeout=60)


def test_sigterm_ends_it_cleanly_even_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    base = make_base(tmp_path / "long", context=200_000)
    asked = {"model": "m", "messages": ASKED, "stream": True, "temperature": 0, "max_tokens": 190_000, "hone": {"base_dir": str(base)}}
    with running() as server, server.http as http, http.stream("POST", PATH, json=asked) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        assert any("shutting down" in line for line in lines)
        assert server.process.wait(timeout=60) == 0


def test_while_a_run_has_the_gpu_small_models_answer_on_the_cpu_and_others_say_why_not(tmp_path: Path, tiny_base: Path) -> None:
    huge = huge_base(tmp_path / "huge")
    with running("--device", FAKE_GPU) as server:
        state = server.post("/yield", {"device": FAKE_GPU, "holder": "1", "run": "mails"}).json()
        assert state["yielded_to"] == {"device": FAKE_GPU, "run": "mails"}
        assert ask(server, tiny_base).status_code == 200
        refused = ask(server, huge)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["error"]["code"] == "yielded"
        assert refused.json()["error"]["message"] == "The GPU is training mails; models answer again when it ends."
        assert server.post("/resume", {}).json()["yielded_to"] is None


def test_a_device_left_to_several_runs_is_free_when_all_have_given_it_back() -> None:
    """Two of them are called the same, and one says more than once that it has the device."""
    with running("--device", FAKE_GPU) as server:
        for holder, run in (("1", "mails"), ("2", "notes"), ("3", "notes"), ("1", "mails")):
            server.post("/yield", {"device": FAKE_GPU, "holder": holder, "run": run})
        notes = {"device": FAKE_GPU, "run": "notes"}
        assert server.post("/resume", {"device": FAKE_GPU, "holder": "1"}).json()["yielded_to"] == notes
        assert server.post("/resume", {"device": "cuda:1"}).json()["yielded_to"]
        assert server.post("/resume", {"device": FAKE_GPU, "holder": "2"}).json()["yielded_to"] == notes
        server.post("/yield", {"device": FAKE_GPU, "holder": "1", "run": "mails"})
        assert server.post("/resume", {"device": FAKE_GPU}).json()["yielded_to"] is None


def test_a_worker_takes_the_gpu_it_works_on_and_no_other(driver: Path) -> None:
    assert driver.is_file()
    mails = {"holder": "1", "run": "mails"}
    with running() as server:
        assert server.post("/yield", {"device": "GPU-1bb"} | mails).json()["yielded_to"] is None
        assert server.post("/yield", {"device": "GPU-0aa"} | mails).json()["yielded_to"] == {"device": FAKE_GPU, "run": "mails"}
        assert server.post("/resume", {"device": "GPU-1bb"}).json()["yielded_to"]
        assert server.post("/resume", {"device": "GPU-0aa", "holder": "1"}).json()["yielded_to"] is None


def test_its_threads_spin_as_little_as_the_trainers_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that all are put back afterwards
    monkeypatch.delenv("GOMP_SPINCOUNT")
    _set_environment("1")
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    os.environ["GOMP_SPINCOUNT"] = "5"
    _set_environment("1")
    assert os.environ["GOMP_SPINCOUNT"] == "5"


def test_a_device_that_is_left_forgets_its_models(tiny_base: Path) -> None:
    with running("--device", "cpu") as server:
        ask(server, tiny_base)
        assert server.status()["loaded"] == str(tiny_base)
        assert server.post("/yield", {"device": "cpu", "holder": "1", "run": "mails"}).json()["loaded"] is None
