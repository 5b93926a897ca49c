"""What a run leaves, by the files of its folder: an adapter beside its base, or after full tuning a whole model."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from app.domain.cards import CHAT_TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

CARD = "README.md"
LINEAGE = "lineage.json"
"""Says which base a whole model came from, as adapter_config.json does for an adapter; the card tells people."""
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    CHAT_TEMPLATE,
)
MODEL_FILES = frozenset({"config.json", "generation_config.json", "model.safetensors.index.json", *TOKENIZER_FILES})
MODEL_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")


def result_files(names: Collection[str]) -> list[str]:
    """Return which files of a folder with these `names` are an adapter or a whole model, without the card; none where it holds neither."""
    if all(name in names for name in ADAPTER_FILES):
        return [*ADAPTER_FILES, *(name for name in names if name == CHAT_TEMPLATE)]
    weights = sorted(name for name in names if MODEL_WEIGHTS.fullmatch(name))
    return [*sorted(MODEL_FILES.intersection(names)), *weights] if weights and {"config.json", LINEAGE} <= set(names) else []


def result_in(folder: Path) -> list[str]:
    """Return which files of a folder are an adapter or a whole model; none where it holds neither, or is not there."""
    return result_files([path.name for path in folder.iterdir()]) if folder.is_dir() else []


def came_from(folder: Path) -> dict[str, Any]:
    """Return `base_model` and `revision` of what lies in a folder."""
    whole = folder / LINEAGE
    if whole.is_file():
        told: dict[str, Any] = json.loads(whole.read_text(encoding="utf-8"))
        return told
    config = json.loads((folder / ADAPTER_FILES[1]).read_text(encoding="utf-8"))
    return {"base_model": config["base_model_name_or_path"], "revision": config["revision"]}
