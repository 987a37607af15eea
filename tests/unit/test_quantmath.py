"""Fixed-point arithmetic against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qedge import quantmath as qm


@given(st.floats(min_value=1e-8, max_value=1e6))
def test_multiplier_is_within_half_a_unit_of_the_real(real: float) -> None:
    multiplier, shift = qm.quantize_multiplier(real)
    assert 1 << 30 <= multiplier < 1 << 31
    error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(real))
    assert error <= Fraction(2) ** (shift - 31) / 2


HALF = 1 << 30  # the multiplier of one half


@given(st.integers(-(2**28), 2**28), st.integers(1 << 30, (1 << 31) - 1), st.integers(-20, 2))
@example(1, HALF, 0)
@example(-1, HALF, 0)
@example(3, HALF, 0)
@example(-3, HALF, 0)
@example(2, HALF, -1)
@example(-2, HALF, -1)
@example(-6, HALF, -1)
@example(-(2**20), HALF, -20)
def test_single_rounding_is_the_exact_product_rounded_half_up(acc: int, multiplier: int, shift: int) -> None:
    exact = Fraction(acc * multiplier) * Fraction(2) ** (shift - 31)
    expected = (exact + Fraction(1, 2)).__floor__()
    if -(2**31) <= expected < 2**31:
        assert int(qm.multiply_single(acc, multiplier, shift)) == expected


@given(st.integers(-(2**28), 2**28), st.integers(1 << 30, (1 << 31) - 1), st.integers(-20, 2))
@example(1, HALF, 0)
@example(-1, HALF, 0)
@example(-3, HALF, 0)
@example(2, HALF, -1)
@example(-2, HALF, -1)
@example(-4, HALF, -2)
@example(6, HALF, -1)
@example(-6, HALF, -1)
@example(-12, HALF, -3)
def test_double_rounding_rounds_twice_with_ties_away_from_zero(acc: int, multiplier: int, shift: int) -> None:
    def away(x: Fraction) -> int:
        n = (abs(x) + Fraction(1, 2)).__floor__()
        return n if x >= 0 else -n

    shifted = acc << max(shift, 0)
    if not -(2**31) <= shifted < 2**31:
        return
    # gemmlowp's high multiply breaks ties upwards for negative products, which "away" does not: allow for it.
    product = shifted * multiplier
    high = (product + (1 << 30)) >> 31
    if product < 0:
        high = -((-product + (1 << 30) - 1) >> 31)
    expected = away(Fraction(high, 1 << max(-shift, 0)))
    assert int(qm.multiply_double(acc, multiplier, shift)) == expected


def test_quantize_rounds_ties_to_even_and_saturates() -> None:
    got = qm.quantize([0.5, 1.5, 2.5, -0.5, 1e9, -1e9], 1.0, 0)
    assert got.tolist() == [0, 2, 2, 0, 127, -128]
    assert got.dtype == np.int8


def test_dequantize_per_channel_broadcasts() -> None:
    got = qm.dequantize(np.array([[1, 2], [3, 4]], np.int8), np.array([1.0, 0.5]), np.array([0, 2]))
    assert got.tolist() == [[1.0, 0.0], [3.0, 1.0]]


@pytest.mark.parametrize(
    ("acc", "shift", "single", "double"),
    [  # acc / 2, then shifted: what the two roundings make of a tie, worked out by hand
        (1, 0, 1, 1),  # 0.5
        (-1, 0, 0, 0),  # -0.5: the high multiply breaks ties upwards
        (-3, 0, -1, -1),  # -1.5
        (2, -1, 1, 1),  # 1, then 0.5
        (-2, -1, 0, -1),  # -1, then -0.5: away from zero in the shift
        (-6, -1, -1, -2),  # -3, then -1.5
        (6, -1, 2, 2),  # 3, then 1.5
    ],
)
def test_ties_by_hand(acc: int, shift: int, single: int, double: int) -> None:
    assert int(qm.multiply_single(acc, HALF, shift)) == single
    assert int(qm.multiply_double(acc, HALF, shift)) == double
