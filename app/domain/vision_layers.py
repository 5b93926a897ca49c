"""What a model that also sees has beside its language model: the tower that looks, and what hands on what it saw.

Only counted: adapters do not reach it, but its weights have to lie somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.errors import Invalid

SIGLIP = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_channels": 3, "image_size": 224, "patch_size": 16}
PIXTRAL = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_channels": 3, "patch_size": 16}
QWEN = {
    "hidden_size": 1152, "intermediate_size": 4304, "depth": 27, "in_channels": 3, "patch_size": 16, "temporal_patch_size": 2,
    "spatial_merge_size": 2, "out_hidden_size": 3584, "num_position_embeddings": 2304,
}  # fmt: skip
MOST = 2**20


def count(config: Mapping[str, Any], hidden: int) -> tuple[int, str]:
    """Return the parameters beside a language model that is `hidden` wide, and why they are not exact, if they are not."""
    vision = config.get("vision_config")
    outer = str(config.get("model_type"))
    heard = any(isinstance(config.get(key), Mapping) for key in ("audio_config", "speech_config"))
    if not isinstance(vision, Mapping):
        return 0, "What hears is not counted, only the language model." if heard else ""
    counted = TOWERS.get(outer)
    if counted is None or heard:
        return 0, "What sees or hears is not counted, only the language model."
    return counted(config, vision, hidden), ""


def _siglip(_whole: Mapping[str, Any], vision: Mapping[str, Any], hidden: int) -> int:
    """Count Gemma 3's: SigLIP without its head, then a norm and a matrix into the language model."""
    read = _reader(vision, SIGLIP)
    wide, inner, patch = read("hidden_size"), read("intermediate_size"), read("patch_size")
    places = (read("image_size") // patch) ** 2
    begin = read("num_channels") * patch * patch * wide + wide + places * wide
    layer = 4 * (wide * wide + wide) + 2 * wide * inner + inner + wide + 4 * wide
    head = 0 if vision.get("vision_use_head", True) is False else _siglip_head(wide, inner)
    return begin + read("num_hidden_layers") * layer + 2 * wide + head + wide * hidden + wide


def _siglip_head(wide: int, inner: int) -> int:
    """Count the head that gathers a picture into one vector: a probe, attention, a norm, a network."""
    return wide + 4 * (wide * wide + wide) + 2 * wide + 2 * wide * inner + inner + wide


def _pixtral(whole: Mapping[str, Any], vision: Mapping[str, Any], hidden: int) -> int:
    """Count Mistral's: Pixtral without biases, then a norm, a matrix that joins neighbours, and two into the language model."""
    read = _reader(vision, PIXTRAL)
    wide, inner, patch = read("hidden_size"), read("intermediate_size"), read("patch_size")
    begin = read("num_channels") * patch * patch * wide + wide
    layer = 4 * wide * wide + 3 * wide * inner + 2 * wide
    joined = _reader(whole, {"spatial_merge_size": 2})("spatial_merge_size") ** 2
    biases = 2 * hidden if whole.get("multimodal_projector_bias") else 0
    return begin + read("num_hidden_layers") * layer + wide + joined * wide * wide + wide * hidden + hidden * hidden + biases


def _qwen(_whole: Mapping[str, Any], vision: Mapping[str, Any], _hidden: int) -> int:
    """Count Qwen 3.5's: patches of two frames, layers with biases, and what joins neighbours into the language model's width."""
    read = _reader(vision, QWEN)
    wide, inner, joined = read("hidden_size"), read("intermediate_size"), read("hidden_size") * read("spatial_merge_size") ** 2
    begin = (
        read("in_channels") * read("temporal_patch_size") * read("patch_size") ** 2 * wide + wide + read("num_position_embeddings") * wide
    )
    layer = 4 * (wide * wide + wide) + 2 * wide * inner + inner + wide + 4 * wide
    return begin + read("depth") * layer + 2 * wide + joined * joined + joined + (joined + 1) * read("out_hidden_size")


def _reader(values: Mapping[str, Any], defaults: Mapping[str, int]) -> Callable[[str], int]:
    def read(name: str) -> int:
        found = values.get(name, defaults[name])
        if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MOST:
            raise Invalid(f"config.json says {str(found)[:40]!r} for {name}.", param="base_model", code="unknown_architecture")
        return found

    return read


TOWERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], int], int]] = {
    "gemma3": _siglip,
    "mistral3": _pixtral,
    "qwen3_5": _qwen,
}
"""By what the whole model is called."""
