"""How many bits a weight takes at each precision: what decides how large a model is on a disk and in memory.

A level is plain (every weight so many bits, nothing beside) or stands in blocks that share scales, whose bits are counted as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

NF4_BLOCK, SCALE_BLOCK = 64, 256
"""bitsandbytes (QLoRA, arXiv 2305.14314 §3): a 32-bit scale for 64 weights; with double quantisation an 8-bit one, and a 32-bit one for
256 of these."""
NF4_SCALE = 32 / NF4_BLOCK
NF4_SCALE_TWICE = 8 / NF4_BLOCK + 32 / (NF4_BLOCK * SCALE_BLOCK)
DOUBLE_QUANTISATION_SAVES = NF4_SCALE - NF4_SCALE_TWICE
"""0.373 bits a weight."""
GROUP_SCALE = 16 / 128
"""Files of ternary and 1-bit models keep a 16-bit scale for 128 weights (GGUF's Q1_0: 18 bytes for 128)."""
UNQUANTISED_BITS = 16
"""What bitsandbytes leaves alone (embeddings, head, experts in one block) is held in 16 bits."""


class Precision(NamedTuple):
    """One level: the bits of a weight's code, those of its share of the scales, and what the level is in a sentence."""

    key: str
    label: str
    code_bits: float
    scale_bits: float
    sentence: str
    stored_bits: float | None = None
    """Bits a weight in files of such models, where these keep scales that the plain level does not count."""
    is_partial: bool = False
    """Whether only the layers' matrices are held so, and the rest of a model in 16 bits."""

    @property
    def bits(self) -> float:
        """Bits a weight, with its share of the scales."""
        return self.code_bits + self.scale_bits


def _block(weights: int, size: int, code_bits: float) -> tuple[float, float]:
    """Return code and scale bits of a weight in a block of so many weights in so many bytes."""
    return code_bits, size * 8 / weights - code_bits


_LEVELS = (
    Precision("fp32", "FP32", 32, 0, "A 32-bit float for each weight: how full fine-tuning holds what it changes."),
    Precision("bf16", "BF16", 16, 0, "16 bits with the range of FP32 and fewer digits: how most models are released and trained."),
    Precision("fp16", "FP16", 16, 0, "16 bits with more digits and a smaller range than BF16: for GPUs without BF16."),
    Precision("int8", "INT8", 8, 0, "A whole number of 8 bits: half of 16 bits, and hardly a difference in what a model answers."),
    Precision(
        "nf4", "NF4", 4, NF4_SCALE, "QLoRA's 4 bits, whose sixteen values suit bell-shaped weights; a 32-bit scale for each 64 weights.",
        is_partial=True,
    ),
    Precision(
        "nf4_dq", "NF4, scales quantised too", 4, NF4_SCALE_TWICE,
        "NF4 whose scales are quantised as well (double quantisation), which saves 0.373 bits a weight.", is_partial=True,
    ),
    Precision("q8_0", "GGUF Q8_0", *_block(32, 34, 8), "llama.cpp's 8 bits: blocks of 32 weights with a 16-bit scale."),
    Precision("q6_k", "GGUF Q6_K", *_block(256, 210, 6), "llama.cpp's 6 bits: blocks of 256 weights with scales for each 16."),
    Precision(
        "q5_k_m", "GGUF Q5_K_M", 5, 0.7036, "llama.cpp's 5 bits, with 6 for the layers that matter most; as measured on Llama 3.1 8B."
    ),
    Precision(
        "q4_k_m", "GGUF Q4_K_M", 4, 0.8944, "llama.cpp's 4 bits, with 6 for the layers that matter most; as measured on Llama 3.1 8B."
    ),
    Precision("q4_0", "GGUF Q4_0", *_block(32, 18, 4), "llama.cpp's simplest 4 bits: blocks of 32 weights with a 16-bit scale."),
    Precision("int4", "INT4", 4, 0, "A whole number of 4 bits: the weights alone, without the scales that every real format adds."),
    Precision(
        "ternary", "Ternary", math.log2(3), 0, "Each weight is −1, 0 or 1: log2 3 = 1.58 bits. A model has to be trained for it.",
        stored_bits=math.log2(3) + GROUP_SCALE,
    ),
    Precision(
        "1bit", "1 bit", 1, 0, "Each weight is −1 or 1. A model has to be trained for it.", stored_bits=1 + GROUP_SCALE
    ),
)  # fmt: skip
PRECISIONS: dict[str, Precision] = {level.key: level for level in _LEVELS}
"""From the most bits to the fewest of a kind; bits of the GGUF mixes by llama.cpp's tools/quantize/README.md."""


def weights_bytes(parameters: int, key: str, *, unquantised: int = 0) -> int:
    """Return the bytes of a model's weights at a level; bitsandbytes' levels leave so many of the parameters `unquantised`, in 16 bits."""
    level = PRECISIONS[key]
    kept = min(unquantised, parameters) if level.is_partial else 0
    return round(((parameters - kept) * level.bits + kept * UNQUANTISED_BITS) / 8)


def stored_bytes(parameters: int, key: str) -> int:
    """Return the bytes of a model's file at a level, with the scales that its files keep."""
    level = PRECISIONS[key]
    return round(parameters * (level.stored_bits or level.bits) / 8)
