"""The kernel's count of processes it ended for want of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

import workers.memory
from workers.memory import kernel_kills


def test_it_is_read_wherever_the_system_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / name for name in ("vmstat", "memory.events", "memory.oom_control")]
    monkeypatch.setattr(workers.memory, "MACHINE", files[0])
    monkeypatch.setattr(workers.memory, "GROUPS", tuple(files[1:]))
    assert kernel_kills() == 0
    files[0].write_text("nr_free_pages 17\noom_kill 2\n")
    files[1].write_text("low 0\noom 9\noom_kill 1\noom_group_kill 0\n")
    assert kernel_kills() == 3
    files[2].write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    assert kernel_kills() == 7
