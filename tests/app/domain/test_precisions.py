"""Bits for a weight at each precision, and what they come to for a whole model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.precisions import DOUBLE_QUANTISATION_SAVES, PRECISIONS, stored_bytes, weights_bytes

EIGHT_B = 8_190_000_000
"""Of the 8 B models whose sizes in 1 and 1.58 bits were published beside their 16.38 GB in FP16."""


@pytest.mark.parametrize(("key", "size"), [("fp32", 28e9), ("fp16", 14e9), ("bf16", 14e9), ("int8", 7e9), ("int4", 3.5e9), ("1bit", 875e6)])
def test_seven_billion_weights_at_a_plain_level(key: str, size: float) -> None:
    assert weights_bytes(7_000_000_000, key) == size


def test_double_quantisation_saves_what_the_paper_says() -> None:
    assert DOUBLE_QUANTISATION_SAVES == 0.373046875
    assert PRECISIONS["nf4"].bits - PRECISIONS["nf4_dq"].bits == DOUBLE_QUANTISATION_SAVES
    assert PRECISIONS["nf4_dq"].bits == 4.126953125


@pytest.mark.parametrize(("key", "bits"), [("q8_0", 8.5), ("q6_k", 6.5625), ("q4_0", 4.5)])
def test_blocks_of_gguf_have_the_bits_of_their_bytes(key: str, bits: float) -> None:
    assert PRECISIONS[key].bits == bits


def test_nf4_leaves_embeddings_in_16_bits() -> None:
    assert weights_bytes(1000, "nf4", unquantised=200) == 800 * 4.5 / 8 + 200 * 2
    assert weights_bytes(1000, "int4", unquantised=200) == 500


def test_files_of_few_bits_keep_scales() -> None:
    assert stored_bytes(EIGHT_B, "1bit") == pytest.approx(1.15e9, rel=0.01)
    assert stored_bytes(EIGHT_B, "ternary") == pytest.approx(1.75e9, rel=0.01)
    assert stored_bytes(EIGHT_B, "fp16") == 16.38e9


@pytest.mark.material
def test_double_quantisation_is_the_papers_arithmetic(material: Path) -> None:
    told = oracles(material)["double_quant"]
    assert PRECISIONS["nf4"].scale_bits == told["plain_bits_per_param"]
    assert PRECISIONS["nf4_dq"].scale_bits == told["double_bits_per_param"]
    assert told["saved_bits_per_param"] == DOUBLE_QUANTISATION_SAVES
    assert told["saved_GB_65B"] == DOUBLE_QUANTISATION_SAVES * 65e9 / 8e9


@pytest.mark.material
@pytest.mark.parametrize("key", ["q8_0", "q6_k", "q4_0"])
def test_blocks_are_those_of_gguf(material: Path, key: str) -> None:
    _, _, bits = oracles(material)["ggml_block_formats"]["types"][key.upper()]
    assert PRECISIONS[key].bits == bits


@pytest.mark.material
@pytest.mark.parametrize("key", ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "fp16"])
def test_a_model_in_gguf_is_as_large_as_it_was_published(material: Path, key: str) -> None:
    bits, size = oracles(material)["llama_cpp_bits_per_weight_Llama-3.1-8B"]["ftype_bpw_GiB"]["F16" if key == "fp16" else key.upper()]
    assert PRECISIONS[key].bits == pytest.approx(bits, rel=2e-4)
    assert weights_bytes(8_030_261_248, key) / 2**30 == pytest.approx(size, abs=0.006)


def oracles(material: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((material / "paper_oracles.json").read_text(encoding="utf-8"))
    return found
