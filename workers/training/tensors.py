"""Tensors in a safetensors file, whose library has its own word for a disk that fails."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import save_file

from workers.training.room import ran_out

if TYPE_CHECKING:
    from pathlib import Path

    import torch


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file; OSError where the disk does not take it."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(errno.ENOSPC if ran_out(error) else errno.EIO, str(error), str(path)) from error
