"""What the inference server runs on, as torch calls it and as workers do."""

from __future__ import annotations

import os

from app.gateways.gpus import VISIBLE, visible_gpus

AUTO, FIRST_GPU = "auto", "cuda:0"


def take_first_gpu() -> str | None:
    """Return the UUID of the first GPU there is, and hide all others: workers say by it which one they need."""
    found = visible_gpus()
    if not found:
        return None
    os.environ[VISIBLE] = found[0].uuid
    return found[0].uuid
