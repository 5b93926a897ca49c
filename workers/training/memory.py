"""How much memory a run takes, and what to say when there is not enough."""

from __future__ import annotations

import resource
import sys

import torch

from app.domain.errors import StudioError

ALLOCATOR_WORDS = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
GPU_WORDS = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What libraries beside torch's own allocator say of a GPU that has no memory left."""


class OutOfMemory(StudioError):
    """There is not enough memory for this run as it is set up."""

    kind, status = "invalid_request_error", 422


def peak_bytes(device: torch.device) -> int:
    """Return the most memory this process has held: the GPU's when it trains there, else the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def as_out_of_memory(error: BaseException) -> OutOfMemory | None:
    """Return what to tell a person if `error` means that memory ran out."""
    change = "Set settings.micro_batch_size to 1, lower settings.max_length, or take settings.tuning: qlora."
    said = str(error) if isinstance(error, RuntimeError) else ""
    if isinstance(error, torch.OutOfMemoryError) or any(words in said for words in GPU_WORDS):
        return OutOfMemory(f"The GPU's memory is not enough for this run. {change}", code="out_of_memory_gpu")
    if isinstance(error, MemoryError) or any(words in said for words in ALLOCATOR_WORDS):
        return OutOfMemory(f"This machine's memory is not enough for this run. {change}", code="out_of_memory_host")
    return None
