"""Exponential, logistic, tanh and inverse square root on integers, as TensorFlow Lite computes them.

Scalars only: these fill tables of 256 entries at build time, so that none of it is needed at run time.
A number in ``Qm`` is an int32 with ``m`` integer bits: ``real = raw * 2**(m - 31)``. Every function follows
``gemmlowp/fixedpoint/fixedpoint.h`` step by step, because its rounding errors are part of the answer.

>>> logistic(0, 4) / 2**31
0.5
"""

from __future__ import annotations

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def saturate(x: int) -> int:
    """Return ``x`` clamped to int32."""
    return max(INT32_MIN, min(INT32_MAX, x))


def high_mul(a: int, b: int) -> int:
    """Return ``a * b / 2**31`` rounded to nearest, saturated (``SaturatingRoundingDoublingHighMul``).

    >>> high_mul(1 << 30, 1 << 30) == 1 << 29
    True
    """
    return saturate((a * b + (1 << 30)) >> 31)


def rounding_shift(x: int, exponent: int) -> int:
    """Return ``x / 2**exponent`` rounded to nearest, ties away from zero (``RoundingDivideByPOT``).

    >>> rounding_shift(-5, 1), rounding_shift(5, 1)
    (-3, 3)
    """
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def scale(x: int, exponent: int) -> int:
    """Return ``x * 2**exponent``: saturated to the left, rounded to the right."""
    return saturate(x << exponent) if exponent >= 0 else rounding_shift(x, -exponent)


def exp_on_negative_values(a: int, integer_bits: int) -> int:
    """Return ``exp(a)`` in Q0 for ``a <= 0`` in ``Q<integer_bits>``.

    >>> exp_on_negative_values(0, 5) == INT32_MAX
    True
    """
    if a == 0:
        return INT32_MAX
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    reduced = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(scale(reduced, integer_bits))
    remainder = reduced - a
    for exponent, factor in _EXP_FACTORS:
        if integer_bits > exponent and remainder >> (fraction_bits + exponent) & 1:
            result = high_mul(result, factor)
    if integer_bits > 5 and a < -(1 << (36 - integer_bits)):
        return 0
    return result


# exp(-2**exponent) in Q0
_EXP_FACTORS = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)


def _exp_near_zero(a: int) -> int:
    """Return ``exp(a)`` in Q0 for ``a`` in [-1/4, 0), Q0: a Taylor series around -1/8."""
    exp_of_minus_eighth, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3 = high_mul(x2, x)
    x4 = high_mul(x2, x2)
    series = scale(high_mul(scale(x4, -2) + x3, third) + x2, -1)
    return saturate(exp_of_minus_eighth + high_mul(exp_of_minus_eighth, x + series))


def _reciprocal(a: int) -> int:
    """Return ``2 / (1 + a)`` in Q2 for ``a`` in [0, 1], Q0: three Newton-Raphson steps."""
    total = a + INT32_MAX
    half_denominator = (total + 1) // 2
    x = 1515870810 + high_mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - high_mul(half_denominator, x)
        x += scale(high_mul(x, error), 2)
    return x


def one_over_one_plus(a: int) -> int:
    """Return ``1 / (1 + a)`` in Q0 for ``a`` in [0, 1], Q0.

    >>> one_over_one_plus(0) == INT32_MAX
    True
    """
    return scale(_reciprocal(a), 1)


def logistic(a: int, integer_bits: int) -> int:
    """Return ``1 / (1 + exp(-a))`` in Q0 for ``a`` in ``Q<integer_bits>``."""
    if a == 0:
        return 1 << 30
    positive = scale(_reciprocal(exp_on_negative_values(-abs(a), integer_bits)), 1)
    return positive if a > 0 else INT32_MAX - positive


def tanh(a: int, integer_bits: int) -> int:
    """Return ``tanh(a)`` in Q0 for ``a`` in ``Q<integer_bits>``."""
    if a == 0:
        return 0
    # exp(-2 |a|): the same bits read with one integer bit more
    e = exp_on_negative_values(-abs(a), integer_bits + 1)
    magnitude = scale(_reciprocal(e) - (1 << 29), 2)
    return magnitude if a > 0 else -magnitude


def inverse_square_root(x: int) -> tuple[int, int]:
    """Return ``(multiplier, shift)`` with ``x**-0.5 == multiplier * 2**(shift - 31)``; ``x`` in [0, 2**31).

    0 counts as 1. ``GetInvSqrtQuantizedMultiplierExp`` of ``tensorflow/lite/kernels/internal/common.h``.

    >>> inverse_square_root(4)
    (1073741828, 0)
    """
    if x <= 1:
        return INT32_MAX, 0
    right = 11
    while x >= 1 << 29:
        x //= 4
        right += 1
    pairs = (31 - x.bit_length()) // 2 - 1
    right -= pairs
    x <<= 2 * pairs
    half = rounding_shift(x >> 1, 1)
    y = 1 << 28
    for _ in range(5):
        cube = scale(high_mul(high_mul(y, y), y), 6)
        y = scale(high_mul((1 << 28) + (1 << 27), y) - high_mul(half, cube), 3)
    y = high_mul(y, 1518500250)
    if right < 0:
        return y << -right, 0
    return y, -right
