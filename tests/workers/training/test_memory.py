"""How much memory there is for a run: whatever bounds it first, wherever a container keeps that."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from app.domain.specs import TrainingSettings
from workers.training import memory
from workers.training.memory import OutOfMemory, forget_peak, held_bytes, memory_of, peak_bytes, too_long

CPU = torch.device("cpu")


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_container_s_limit_counts_less_what_it_would_give_up(tmp_path: Path) -> None:
    write(tmp_path / "proc", cgroup="0::/outer/inner\n")
    stat = "anon 60\ninactive_file 30\n"
    write(tmp_path / "groups" / "outer", memory__max="1000\n", memory__current="900\n", memory__stat="inactive_file 0\n")
    write(tmp_path / "groups" / "outer" / "inner", memory__max="max\n", memory__current="90\n", memory__stat=stat)
    write(tmp_path / "groups", memory__max="500\n", memory__current="90\n", memory__stat=stat)  # as the container itself sees it
    found = {(one.free, one.total) for one in memory._of_control_groups(tmp_path / "proc", tmp_path / "groups")}
    assert found == {(100, 1000), (440, 500)}


def test_the_older_kind_of_control_groups_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "proc", cgroup="4:memory:/job\n3:cpuset:/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    for group, limit in (("job", "700"), ("", "9223372036854771712")):
        values = (limit, "200", "total_inactive_file 50\ninactive_file 1\n")
        write(tmp_path / "groups" / "memory" / group, **dict(zip((name.replace(".", "__") for name in names), values, strict=True)))
    found = [(one.free, one.total) for one in memory._of_control_groups(tmp_path / "proc", tmp_path / "groups")]
    assert found == [(550, 700)]


def test_where_there_are_no_control_groups_the_machine_decides(tmp_path: Path) -> None:
    assert list(memory._of_control_groups(tmp_path, tmp_path)) == []
    assert memory_of(CPU).total <= psutil.virtual_memory().total


def test_what_bounds_first_is_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 1_001 * 4096
    # As told here: what this process really takes may change between two looks, when a thread ends.
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(vms=4096))
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (limit, limit))
    found = memory_of(CPU)
    assert (found.free, found.total) == (1_000 * 4096, limit)


@pytest.mark.skipif(not os.access(memory.PROC / "clear_refs", os.W_OK), reason="this system forgets no peaks")
def test_a_peak_can_be_forgotten() -> None:
    forget_peak(CPU)
    before, size = peak_bytes(CPU), 300 << 20
    # More than was ever held, what came before this program with it: that much of a peak stays.
    held = torch.ones(before - held_bytes(CPU) + size, dtype=torch.uint8)
    highest = peak_bytes(CPU)
    assert highest >= before + 0.9 * size
    del held
    forget_peak(CPU)
    assert held_bytes(CPU) * 0.9 <= peak_bytes(CPU) <= highest - 0.9 * size


@pytest.mark.parametrize(
    ("settings", "helps"),
    [
        ({}, "qlora or lower settings.rank"),
        ({"tuning": "qlora"}, "max_length or lower settings.rank"),
        ({"tuning": "full"}, "lora or qlora"),
    ],
)
def test_only_what_can_help_is_named(settings: dict[str, str], helps: str) -> None:
    failure = too_long(OutOfMemory("", code="out_of_memory_host"), 2048, TrainingSettings.model_validate(settings))
    assert "2,048 tokens" in failure.message
    assert helps in failure.message
