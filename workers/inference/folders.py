"""What an adapter's folder must hold, and how a folder that was written anew is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.domain.base_models import MAX_JSON_BYTES
from app.domain.errors import Invalid

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"

Stamp = tuple[tuple[str, int, int], ...]


def unusable_adapter(message: str) -> Invalid:
    """Return the error for a tuned model whose adapter cannot answer."""
    return Invalid(message, param="model", code="unusable_adapter")


def check_adapter(folder: Path) -> None:
    """Raise Invalid unless the folder holds a LoRA adapter in safetensors."""
    if not (folder / ADAPTER_WEIGHTS).is_file() or not (folder / ADAPTER_CONFIG).is_file():
        raise unusable_adapter("The tuned model's files are not there: an adapter has adapter_config.json and adapter_model.safetensors.")
    with (folder / ADAPTER_CONFIG).open("rb") as file:
        raw = file.read(MAX_JSON_BYTES)
    try:
        config: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise unusable_adapter("adapter_config.json is not valid JSON.") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise unusable_adapter("Only LoRA adapters can answer here; adapter_config.json names another kind.")


def stamp(folder: Path) -> Stamp:
    """Return what changes when a folder's model is written anew: its files' names, sizes and times."""
    files = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".json", ".jinja"})
    return tuple((path.name, (status := path.stat()).st_size, status.st_mtime_ns) for path in files)
