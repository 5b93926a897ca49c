"""How large a model must be to want a GPU."""

from __future__ import annotations

from pathlib import Path

from app.gateways.model_folders import count_parameters

SMALL_PARAMETERS = 1_000_000_000


def is_small(folder: Path) -> bool:
    """Whether a base answers at a bearable speed on a CPU, in float32; read from its files' headers."""
    weights = [file for file in folder.glob("*.safetensors") if file.is_file()]
    return sum(map(count_parameters, weights)) < SMALL_PARAMETERS
