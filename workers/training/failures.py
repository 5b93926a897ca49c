"""What went wrong, as a code for programs and a sentence for people: never a traceback, which belongs to the log."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.errors import StudioError, Unavailable
from app.domain.events import Finished
from workers.training.room import no_room, ran_out

if TYPE_CHECKING:
    from workers.training.report import Reporter

GPU_TEXTS = (
    "CUDA error", "CUDA driver", "CUDA initialization", "NVIDIA driver", "No CUDA GPUs", "no CUDA-capable device",
    "libcuda", "CUDNN_STATUS", "cuDNN error", "CUBLAS_STATUS", "NVML", "Xid",
)  # fmt: skip
"""What torch and NVIDIA's libraries say when a GPU or its driver is at fault; they have no exception of their own for it."""
NOT_THE_GPU = ("device-side assert",)
"""A fault of a computation, which only shows on the GPU."""
LONGEST_REASON = 300


def last_event(error: Exception, out: Path, reporter: Reporter) -> Finished:
    """Return the event that ends a run which `error` has ended."""
    failure = as_failure(error, out)
    if failure.code in {"internal", "disk"}:
        traceback.print_exc()
    data = failure.data | {"while": reporter.phase}
    return Finished(status="failed", reason=failure.message, code=failure.code, data=data)


def as_failure(error: Exception, out: Path) -> StudioError:
    """Return what a person is told of an error."""
    if isinstance(error, StudioError):
        return error
    if ran_out(error):
        named = getattr(error, "filename", None)
        return no_room(Path(named).parent if isinstance(named, str) and Path(named).parent.is_dir() else out)
    from workers.training.memory import as_out_of_memory

    return as_out_of_memory(error) or _gpu_fault(error) or _other(error)


def gpu_fault(text: str) -> Unavailable:
    """Return what to tell of a GPU or a driver at fault."""
    return Unavailable(f"The GPU or its driver failed: {_short(text)}", code="gpu_driver")


def _gpu_fault(error: Exception) -> Unavailable | None:
    text = str(error)
    is_one = isinstance(error, RuntimeError | OSError | ImportError) and any(words in text for words in GPU_TEXTS)
    return gpu_fault(text) if is_one and not any(words in text for words in NOT_THE_GPU) else None


def _other(error: Exception) -> StudioError:
    code = "disk" if isinstance(error, OSError) else "internal"
    return StudioError(f"The trainer failed: {type(error).__name__}: {_short(str(error))}", code=code)


def _short(text: str) -> str:
    """Return the first line that says something; what follows are hints for programmers."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no more is known")[:LONGEST_REASON]
