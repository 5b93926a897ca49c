"""Tensors in a safetensors file, whose library has its own word for a disk that fails."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import save_file

from workers.training.room import ran_out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file; OSError where the disk does not take it."""
    with as_os_error(path):
        save_file(tensors, path, metadata)


@contextmanager
def as_os_error(path: Path) -> Iterator[None]:
    """Raise OSError where the disk does not take what is written to `path`."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(errno.ENOSPC if ran_out(error) else errno.EIO, str(error), str(path)) from error
