"""Everything that can go wrong with a trainer ends it with an exact code and a sentence, never a traceback."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app.domain.errors import Invalid, StudioError
from app.domain.events import Checkpoint, Doing, parse_event
from tests.faults.small_disk import filled, small_disk
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, make_model, notices, read_events, write_spec
from workers.curation.importing import FileSpec, ImportSpec, import_file
from workers.training.failures import as_failure
from workers.training.model import choose_device
from workers.training.report import Reporter

GPU_FAULTS = {
    "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported": "gpu_driver",
    "CUDA error: no CUDA-capable device is detected": "gpu_driver",
    "No CUDA GPUs are available": "gpu_driver",
    "The NVIDIA driver on your system is too old (found version 11040).": "gpu_driver",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED": "gpu_driver",
    "CUDA error: out of memory": "out_of_memory_gpu",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": "out_of_memory_gpu",
    "CUDA error: device-side assert triggered": "internal",
    "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory": "out_of_memory_host",
    "size mismatch for weight": "internal",
}


@pytest.mark.parametrize(("text", "code"), GPU_FAULTS.items())
def test_what_torch_says_of_a_gpu_is_told_apart(text: str, code: str, tmp_path: Path) -> None:
    failure = as_failure(RuntimeError(text), tmp_path)
    assert failure.code == code
    assert "\n" not in failure.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (RuntimeError("Data processing error: I/O error: No space left on device (os error 28)"), "disk_full"),
        (OSError(errno.EIO, "Input/output error"), "disk"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "out_of_memory_gpu"),
        (MemoryError(), "out_of_memory_host"),
        (KeyError("x"), "internal"),
        (Invalid("As it is.", code="own"), "own"),
    ],
)
def test_every_error_has_its_code(error: Exception, code: str, tmp_path: Path) -> None:
    assert as_failure(error, tmp_path).code == code


def test_a_full_disk_is_found_behind_what_a_library_makes_of_it(tmp_path: Path) -> None:
    wrapped = ValueError("the file could not be saved")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    failure = as_failure(wrapped, tmp_path)
    assert failure.code == "disk_full"
    assert {"disk", "free"} <= set(failure.data)


def test_a_driver_at_fault_is_told_and_not_taken_for_a_missing_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned() -> bool:
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old (found version 11040).", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warned)
    told = io.BytesIO()
    assert choose_device("auto", Reporter(told)).type == "cpu"
    assert b"too old" in told.getvalue()
    with pytest.raises(StudioError) as refused:
        choose_device("gpu", Reporter(io.BytesIO()))
    assert refused.value.code == "gpu_driver"


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MiB."""
    with small_disk(tmp_path / "disk"):
        yield tmp_path / "disk"


@pytest.mark.mounts
def test_a_run_goes_on_without_room_for_a_checkpoint_and_saves_again_once_there_is(
    train_here: Train, tmp_path: Path, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_metric, filling = Reporter.metric, filled(full_disk)

    def fill_or_free(self: Reporter, step: int, name: str, value: float) -> None:
        true_metric(self, step, name, value)
        if (step, name) == (4, "train/loss"):
            filling.__enter__()
        if (step, name) == (10, "train/loss"):
            filling.__exit__(None, None, None)

    monkeypatch.setattr(Reporter, "metric", fill_or_free)
    (tmp_path / "out").symlink_to(full_disk)
    code, events = train_here(max_steps=12, checkpoint_every_steps=2)
    assert code == 0, last(events).reason
    assert [event.step for event in events if isinstance(event, Checkpoint)] == [2, 10, 12]
    assert notices(events).count("could not be saved") == 1
    assert sorted(curve(events)) == list(range(1, 13))  # what could not be told was told later


@pytest.mark.mounts
def test_a_result_without_room_is_a_failure_that_names_the_disk(
    train_here: Train, tmp_path: Path, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "out").symlink_to(full_disk)
    monkeypatch.setattr("workers.training.result.write_adapter", no_room)
    code, events = train_here(max_steps=2, checkpoint_every_steps=100)
    assert (code, last(events).code, last(events).data["disk"]) == (1, "disk_full", str(full_disk))
    assert not list(full_disk.glob(".adapter*"))


def test_events_that_a_full_disk_holds_back_are_written_later_and_in_order() -> None:
    class Disk(io.BytesIO):
        has_room = True

        def write(self, data: object, /) -> int:
            if not self.has_room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(bytes(data)[:7])  # type: ignore[call-overload]  # a disk may take a part

    disk = Disk()
    reporter = Reporter(disk)
    for step in range(1, 7):
        disk.has_room = step not in {2, 3, 4}
        reporter.metric(step, "train/loss", 0.5)
    steps = [parse_event(line).model_dump()["step"] for line in disk.getvalue().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_talk_into_a_full_disk_costs_nothing(root: Path, tmp_path: Path, base: Path, rows: Path) -> None:
    spec = write_spec(tmp_path, base, rows, max_steps=1)
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "workers.train", str(spec), "--out", str(tmp_path / "out"), "--json"]
        done = subprocess.run(command, cwd=root, stdout=full, stderr=full, check=False)
    assert (done.returncode, last(read_events(tmp_path / "out")).status) == (0, "succeeded")


@pytest.mark.slow
def test_a_machine_without_memory_is_told_by_a_sentence(root: Path, tmp_path: Path, rows: Path) -> None:
    base = make_model(tmp_path / "base", hidden=2048)
    # Read beforehand, as the studio does; and once before the limit, since Arrow reserves a gigabyte of addresses when it is first used.
    own = tmp_path / "rows.parquet"
    import_file(ImportSpec(files=[FileSpec(path=rows, filename=rows.name)], out=own), lambda *_: None)
    spec = write_spec(tmp_path, base, own, max_steps=1)
    limit = "import resource, sys, torch, transformers, peft, pathlib, workers.training.rows; "
    limit += f"workers.training.rows.read_rows(pathlib.Path({str(own)!r})); "
    limit += "used = int(open('/proc/self/statm').read().split()[0]) * 4096; "
    limit += (
        "resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2); from workers.train import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limit, str(spec), "--out", str(tmp_path / "out")], cwd=root, capture_output=True, check=False
    )
    finished = last(read_events(tmp_path / "out"))
    assert (done.returncode, finished.code) == (1, "out_of_memory_host"), finished.reason
    assert finished.data["while"] == "loading the base model"


def test_a_learning_rate_that_is_far_too_high_ends_as_diverged_and_names_rows(train_here: Train) -> None:
    code, events = train_here(max_steps=30, learning_rate=1.0, max_grad_norm=1e9, warmup_ratio=0.0, schedule="constant", rank=1, alpha=4096)
    assert (code, last(events).code) == (1, "diverged")
    assert last(events).data["rows"]
    assert "nothing is learnt any more" in last(events).reason


def test_a_template_that_writes_no_row_is_the_template_s_fault(train_here: Train, tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", template="{{ raise_exception('only the assistant may speak') }}")
    code, events = train_here(base=base)
    assert (code, last(events).code) == (1, "template_error")
    assert "only the assistant may speak" in last(events).reason


def test_rows_that_cannot_be_trained_are_named_as_the_dataset_counts_them(train_here: Train, tmp_path: Path) -> None:
    template = "{% for m in messages %}{% if 'sky' in m['content'] %}{{ raise_exception('no sky') }}{% endif %}<|{{ m['role'] }}|>\n"
    template += "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}"
    template += "{% else %}{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    base = make_model(tmp_path / "base", template=template)
    lines = [
        {"messages": [{"role": "user", "content": f"{n} {thing}"}, {"role": "assistant", "content": "yes"}]} for n, thing in enumerate("ab")
    ]
    lines.insert(1, {"messages": [{"role": "user", "content": "the sky"}, {"role": "assistant", "content": "yes"}]})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    _, events = train_here(base=base, rows=tmp_path / "rows.jsonl", max_steps=1)
    assert "rows cannot be used: the chat template refuses it: no sky. Numbered from 1 they are 2." in notices(events)


def test_the_phases_without_steps_are_told(train_here: Train) -> None:
    _, events = train_here(max_steps=1)
    told = [event.what for event in events if isinstance(event, Doing)]
    for phase in (
        "reading the rows",
        "turning rows into tokens",
        "loading the base model",
        "checking on held-out rows",
        "saving a checkpoint",
    ):
        assert phase in told
