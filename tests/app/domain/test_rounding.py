"""Weights with fewer bits: to the bit where there is a standard, to the nearest value where there is a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rounding import LEVELS, NF4, Block, as_float, as_integer, as_nf4, as_sign, as_ternary, bell

ORACLE = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip
"""What bitsandbytes packs by (backends/utils.py, _NF4_QUANT_TABLE): the place in the list is the code."""
SHARES = st.floats(-1.0, 1.0)


@pytest.mark.parametrize(
    ("key", "sign", "exponent", "mantissa", "value"),
    [
        ("fp32", "0", "01111011", "10011001100110011001101", 0.100000001490116119384765625),
        ("bf16", "0", "01111011", "1001101", 0.10009765625),
        ("fp16", "0", "01011", "1001100110", 0.0999755859375),
    ],
)
def test_a_tenth_has_the_bits_of_the_standard(key: str, sign: str, exponent: str, mantissa: str, value: float) -> None:
    found = as_float(0.1, key)
    assert found.fields == (sign, exponent, mantissa)
    assert found.value == value
    assert found.error == value - 0.1


@pytest.mark.parametrize(
    ("weight", "value"),
    [(1 + 2**-8, 1.0), (1 + 3 * 2**-8, 1 + 2**-6), (-1 - 2**-8 - 2**-20, -1 - 2**-7), (3.3895e38, 3.3895313892515355e38), (-0.0, -0.0)],
)
def test_bf16_rounds_to_the_nearest_and_of_two_to_the_even(weight: float, value: float) -> None:
    assert as_float(weight, "bf16").value == value


def test_what_a_level_cannot_write_at_all_is_said() -> None:
    assert as_float(65504.0, "fp16").value == 65504.0
    with pytest.raises(OverflowError):
        as_float(70000.0, "fp16")


def test_nf4_has_the_sixteen_values_of_its_authors() -> None:
    assert list(NF4) == ORACLE


@given(SHARES, st.floats(1e-6, 1e3))
def test_nf4_takes_the_nearest_of_its_values(share: float, largest: float) -> None:
    found = as_nf4(share * largest, largest)
    assert abs(found.error) <= min(abs(value * largest - share * largest) for value in ORACLE) + 1e-12 * largest
    assert found.code is not None
    assert found.value == ORACLE[found.code] * largest


@given(SHARES)
def test_whole_steps_are_off_by_half_a_step_at_most(share: float) -> None:
    for key, most in (("int8", 127), ("int4", 7)):
        found = as_integer(share, 1.0, key, most)
        assert abs(found.error) <= 0.5 / most + 1e-12
        assert abs(found.code or 0) <= most


@pytest.mark.parametrize(("weight", "code"), [(0.1, 0), (0.3, 1), (-0.9, -1), (-0.24, 0), (0.0, 0)])
def test_ternary_is_one_of_three_values(weight: float, code: int) -> None:
    found = as_ternary(weight, 0.5)
    assert (found.code, found.value) == (code, code * 0.5)


def test_one_bit_keeps_the_sign_alone() -> None:
    assert as_sign(0.1, 0.3).value == 0.3
    assert as_sign(-4.0, 0.3).value == -0.3
    assert as_sign(-4.0, 0.3).error == pytest.approx(3.7)


def test_a_bell_ends_at_its_largest_weight_on_both_sides() -> None:
    weights = bell(0.5)
    assert len(weights) == 64
    assert (min(weights), max(weights)) == (-0.5, 0.5)
    assert sum(weights) == pytest.approx(0)
    assert sum(abs(weight) < 0.25 for weight in weights) > len(weights) * 0.6  # most of them near the middle


def test_a_weight_beyond_its_block_is_its_largest() -> None:
    assert Block.around(-3.0, 1.0).largest == 3.0
    assert Block.around(0.1, 1.0).largest == 1.0


def test_fewer_bits_are_more_wrong_and_bf16_more_than_fp16() -> None:
    block = Block.around(0.1, 1.0)
    wrong = {key: block.typical_error(key) for key in LEVELS}
    assert wrong["fp32"] < wrong["fp16"] < wrong["bf16"] < wrong["int8"] < wrong["nf4"] < wrong["int4"] < wrong["ternary"] < wrong["1bit"]


@given(st.floats(-1000, 1000), st.floats(1e-2, 1000))
def test_every_weight_has_a_nearest_value_at_every_level(weight: float, largest: float) -> None:
    block = Block.around(weight, largest)
    for found in map(block.rounded, LEVELS):
        assert found.error == found.value - weight
        assert abs(found.value) <= 1.01 * block.largest
        assert 0 <= block.typical_error(found.key) < 1


def test_every_level_is_the_same_whatever_unit_a_block_is_in() -> None:
    for small, large in ((Block.around(0.1, 1.0).rounded(key), Block.around(0.2, 2.0).rounded(key)) for key in LEVELS):
        assert large.value == pytest.approx(2 * small.value)
        assert (large.key, large.code) == (small.key, small.code)
