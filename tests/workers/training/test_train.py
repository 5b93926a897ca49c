"""The trainer as a process: killed, told to leave, fed with nonsense."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from app.domain.events import AnyEvent, Checkpoint, parse_event
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, make_model, read_events, write_rows, write_spec

PATIENCE_SECONDS = 120.0
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    make_model(folder / "base")
    write_rows(folder / "rows.jsonl")
    return folder


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Start trainers, and see that none is left."""
    begun: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "workers.train", *map(str, arguments)]
        environment = {**os.environ, "HONE_TRAINER_THREADS": "1"}
        begun.append(subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, **options))  # type: ignore[call-overload]
        return begun[-1]

    yield run
    for child in begun:
        child.kill()
        child.communicate()


def wait_for(out: Path, wanted: Callable[[list[AnyEvent]], bool], child: subprocess.Popen[bytes]) -> None:
    """Wait until a run's whole lines fulfil a condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        if (out / "events.jsonl").exists():
            whole = (out / "events.jsonl").read_bytes().rpartition(b"\n")[0]
            if wanted([parse_event(line) for line in whole.splitlines()]):
                return
        time.sleep(0.02)
    raise AssertionError(child.communicate()[1].decode())


def saved_ten_steps(events: list[AnyEvent]) -> bool:
    return any(isinstance(event, Checkpoint) and event.step >= 10 for event in events)


def test_sigterm_leaves_a_checkpoint_and_the_same_command_finishes_the_run(work: Path, tmp_path: Path, start: Start) -> None:
    spec = write_spec(work, work / "base", work / "rows.jsonl", max_steps=150, checkpoint_every_steps=10, eval_every_steps=150)
    child = start(spec, "--out", tmp_path)
    wait_for(tmp_path, saved_ten_steps, child)
    child.terminate()
    assert child.wait() == 0
    interrupted = last(read_events(tmp_path))
    assert interrupted.status == "interrupted"
    saved = [event.step for event in read_events(tmp_path) if isinstance(event, Checkpoint)]
    assert saved[-1] == max(curve(read_events(tmp_path))) == interrupted.data["step"]
    assert start(spec, "--out", tmp_path).wait() == 0
    assert last(read_events(tmp_path)).status == "succeeded"
    assert sorted(curve(read_events(tmp_path))) == list(range(1, 151))


def supervised(start: Start, spec: Path, out: Path) -> tuple[subprocess.Popen[bytes], Iterator[AnyEvent]]:
    reading, writing = os.pipe()
    child = start(spec, "--out", out, "--events-fd", str(writing), "--lease-token", "7", stdin=subprocess.PIPE, pass_fds=[writing])
    os.close(writing)

    def events() -> Iterator[AnyEvent]:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                yield parse_event(line)

    return child, events()


def send(child: subprocess.Popen[bytes], command: str) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps({"command": command}).encode() + b"\n")
    child.stdin.flush()


def test_stop_makes_an_adapter_of_what_was_learned_so_far(work: Path, tmp_path: Path, start: Start) -> None:
    spec = write_spec(work, work / "base", work / "rows.jsonl", max_steps=5000, eval_every_steps=5000)
    child, events = supervised(start, spec, tmp_path)
    seen = []
    for event in events:
        seen.append(event)
        if event.type == "metric" and event.name == "train/loss" and event.step == 3:
            send(child, "stop")
    assert child.wait() == 0
    step = last(seen).data["step"]
    assert last(seen).status == "interrupted"
    assert (tmp_path / "adapter-t7" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "checkpoints" / f"{step}-t7" / "manifest.json").is_file()
    assert not (tmp_path / "events.jsonl").exists()


def test_a_trainer_whose_supervisor_is_gone_leaves_at_once(work: Path, tmp_path: Path, start: Start) -> None:
    spec = write_spec(work, work / "base", work / "rows.jsonl", max_steps=5000, eval_every_steps=5000)
    child, events = supervised(start, spec, tmp_path)
    kinds = set()
    for event in events:
        kinds.add(event.type)
        if event.type == "started" and child.stdin is not None:
            child.stdin.close()
            child.stdin = None
    assert child.wait() == 1
    assert "started" in kinds
    assert "finished" not in kinds


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("base_model: b\ndataset: d\nsettings: {rank: many}", "settings.rank: Input should be a valid integer"),
        ("base_model: b\ndataset: d\nsettings: {tuning: full, lora_plus: 16}", "lora_plus"),
        ("base_model: b\ndataset: d\nsetings: {}", "setings: there is no such key."),
        ("dataset: d", "base_model: this key is needed."),
        ("- just a list", "holds no spec"),
        ("a: [", "not valid YAML"),
    ],
)
def test_an_unusable_spec_exits_with_2_and_a_sentence(
    document: str, sentence: str, tmp_path: Path, undisturbed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from workers import train

    (tmp_path / "spec.yaml").write_text(document)
    assert train.main([str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err
    assert last(read_events(tmp_path / "out")).code == "unusable_spec"


def test_a_wrong_path_is_told_before_anything_heavy_is_imported(root: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({"base_model": "nowhere", "dataset": "rows.jsonl"}))
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    command = [str(tmp_path / "spec.yaml"), "--out", str(tmp_path)]
    look = f"import sys; from workers.train import main; code = main({command!r}); print(code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]
    assert "no folder 'nowhere'" in done.stderr


SETTLED = {"GOMP_SPINCOUNT": "1000", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}
WHEN_TORCH_IS_LOADED = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(*(os.environ.get(each) for each in {names!r}), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
{begin}
"""
BEGIN_COLD = "from workers.train import main; main(sys.argv[1:])"
BEGIN_WARM = "from workers.warm import main; main()"


@pytest.mark.parametrize("begin", [BEGIN_COLD, BEGIN_WARM])
@pytest.mark.parametrize("own", [{}, dict.fromkeys(SETTLED, "5")])
def test_what_libraries_keep_and_how_long_they_spin_is_settled_before_torch_is_loaded(
    begin: str, own: dict[str, str], work: Path, root: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path, work / "base", work / "rows.jsonl", max_steps=1)
    look = WHEN_TORCH_IS_LOADED.format(names=tuple(SETTLED), begin=begin)
    environment = {name: value for name, value in os.environ.items() if name not in SETTLED} | own
    command = [sys.executable, "-c", look, str(spec), "--out", str(tmp_path / "out")]
    ours, theirs = socket.socketpair()
    with ours, theirs:  # a warm trainer waits for its run there
        done = subprocess.run(command, cwd=root, env=environment, stdin=theirs.fileno(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == list((SETTLED | own).values()), done.stderr


def test_a_gpu_that_is_not_there_is_a_clear_failure(train_here: Train) -> None:
    code, events = train_here(device="gpu")
    assert code == 1
    assert last(events).code == "no_gpu"
