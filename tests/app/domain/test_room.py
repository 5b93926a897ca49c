"""Which device holds which model, by figures one can follow on paper."""

from __future__ import annotations

import pytest

from app.domain.architectures import Architecture
from app.domain.room import PLACES, Fit, context_bytes, fit

PHONE, LAPTOP, CARD, SERVER = PLACES


def test_a_conversation_takes_a_key_and_a_value_for_each_token() -> None:
    llama_8b = Architecture.from_config(
        {
            "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
            "num_key_value_heads": 8, "vocab_size": 128256,
        }
    )  # fmt: skip
    assert context_bytes(llama_8b, 1) == 131_072  # 2 × 32 layers × 8 heads × 128 × 2 bytes
    assert context_bytes(llama_8b, 4096) == 4096 * 131_072


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [
        (0.875, [Fit.YES, Fit.YES, Fit.YES, Fit.YES]),
        (3.5, [Fit.TIGHT, Fit.YES, Fit.YES, Fit.YES]),
        (7, [Fit.NO, Fit.YES, Fit.YES, Fit.YES]),
        (14, [Fit.NO, Fit.TIGHT, Fit.YES, Fit.YES]),
        (28, [Fit.NO, Fit.NO, Fit.NO, Fit.YES]),
        (78, [Fit.NO, Fit.NO, Fit.NO, Fit.TIGHT]),
        (140, [Fit.NO, Fit.NO, Fit.NO, Fit.NO]),
    ],
)
def test_what_fits_where(gigabytes: float, expected: list[Fit]) -> None:
    assert [fit(round(gigabytes * 1e9), 0, place) for place in PLACES] == expected


def test_a_conversation_needs_room_too() -> None:
    assert fit(2 * 10**9, 0, PHONE) == Fit.YES
    assert fit(2 * 10**9, 1, PHONE) == Fit.TIGHT
    assert fit(4 * 10**9, 1, PHONE) == Fit.NO
