"""The fixed-point functions against real arithmetic."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qedge.fixedpoint import (
    INT32_MAX,
    INT32_MIN,
    exp_on_negative_values,
    high_mul,
    inverse_square_root,
    logistic,
    rounding_shift,
    tanh,
)

int32 = st.integers(INT32_MIN, INT32_MAX)


@given(int32)
def test_logistic_and_tanh_are_close_to_the_functions(raw: int) -> None:
    real = raw * 2.0 ** (4 - 31)
    assert logistic(raw, 4) / 2**31 == pytest.approx(1 / (1 + math.exp(-real)), abs=1e-6)
    assert tanh(raw, 4) / 2**31 == pytest.approx(math.tanh(real), abs=1e-6)


@given(st.integers(INT32_MIN, 0))
def test_exp_is_close_to_the_function(raw: int) -> None:
    assert exp_on_negative_values(raw, 5) / 2**31 == pytest.approx(math.exp(raw * 2.0 ** (5 - 31)), abs=1e-6)


@given(st.integers(2, INT32_MAX))
def test_inverse_square_root_is_close_to_the_function(x: int) -> None:
    multiplier, shift = inverse_square_root(x)
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(x**-0.5, rel=1e-5)


@given(int32, int32)
def test_high_mul_rounds_to_nearest_and_saturates(a: int, b: int) -> None:
    exact = a * b / 2**31
    assert abs(high_mul(a, b) - min(exact, INT32_MAX)) <= 0.5


@given(int32, st.integers(1, 31))
@example(1, 1)
@example(-1, 1)
@example(-3, 1)
@example(6, 2)
@example(-6, 2)
@example(-(1 << 30), 31)
def test_rounding_shift_rounds_halves_away_from_zero(x: int, exponent: int) -> None:
    quotient, rest = divmod(abs(x), 1 << exponent)
    size = quotient + (2 * rest >= 1 << exponent)
    assert rounding_shift(x, exponent) == (size if x >= 0 else -size)
