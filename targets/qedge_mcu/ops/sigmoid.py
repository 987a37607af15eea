"""The arithmetic of ``qe_sigmoid_s8``, which needs no table, and the numbers that make it exact."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qedge_mcu.ops.lookup import INT8_VALUES

BITS = 22
"""Behind the point of the power's argument, which counts from -9."""

LEAST = -9
POWER = (7339192, -42458767, 182389715, -526252240, 759250125)
"""2^30 / 2^(f + 1/2) for f from -1/2 to 1/2, highest power first: a polynomial through Chebyshev's nodes."""

_CODES = np.array(INT8_VALUES, np.int64)
_NEAR = (0, 1, -1, 2, -2, 3, -3)


def exact_line(scale: float, zero_point: int, expected: Sequence[int]) -> tuple[int, int] | None:
    """Return the (factor, start) with which the kernel gives the expected value for each of the 256 codes.

    Args:
        scale: of the input; twice that for TANH, as tanh(x) = 2 / (1 + exp(-2 x)) - 1.
        expected: by code, from -128 on.

    None where no numbers near the ideal ones do, or where the argument may leave 32 bits.
    """
    ideal = round(scale * math.log2(math.e) * (1 << BITS))
    for start, factor in itertools.product(_NEAR, _NEAR):
        line = ideal + factor, -LEAST * (1 << BITS) - zero_point * (ideal + factor) + 8 * start
        found = _values(*line)
        if found is not None and np.array_equal(found, expected):
            return line
    return None


def _values(factor: int, start: int) -> npt.NDArray[np.int64] | None:
    """Return what the kernel gives for each code; None where 32 bits do not hold a number."""
    argument = start + _CODES * factor
    if max(np.abs(argument).max(), abs(start), 128 * abs(factor)) >= 1 << 31:
        return None
    argument = np.clip(argument, 0, (1 << 27) - 1)
    fraction = (argument << 10 & 0xFFFFFFFF) - (1 << 31)
    power = np.full_like(fraction, POWER[0])
    for coefficient in POWER[1:]:
        power = coefficient + (power * fraction >> 32)
    twice: npt.NDArray[np.int64] = (1 << 30) // ((1 << 21) + (power >> (argument >> BITS)))
    return np.asarray(np.clip((twice - 255) >> 1, -128, 127), np.int64)
