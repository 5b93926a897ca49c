"""A driver's tool in place of NVIDIA's: `nvidia-smi -L` prints what a test wants, and each GPU's memory is in a file called by its UUID."""

from __future__ import annotations

from pathlib import Path

import pytest

MEBIBYTES = {"GPU-0aa": 23034, "GPU-1bb": 15360}
TWO_GPUS = "GPU 0: NVIDIA L4 (UUID: GPU-0aa)\nGPU 1: NVIDIA T4 (UUID: GPU-1bb)\n"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file the tool prints: two GPUs, unless the test writes something else."""
    folder = tmp_path / "driver"
    folder.mkdir()
    listing = folder / "listing"
    listing.write_text(TWO_GPUS)
    for uuid, memory in MEBIBYTES.items():
        (folder / uuid).write_text(f"{memory}\n")
    tool = folder / "nvidia-smi"
    asked = f'case "$1 $2" in "--id="*" --query-gpu=memory.total") exec cat {folder}/"${{1#--id=}}";; esac'
    tool.write_text(f'#!/bin/sh\n[ "$1" = -L ] && exec cat {listing}\n{asked}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return listing
