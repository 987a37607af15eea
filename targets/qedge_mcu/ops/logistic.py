"""LOGISTIC, TANH: int8, as a table; bit-exact to TFLite Micro."""

from __future__ import annotations

import math
from functools import lru_cache, partial

from qedge.fixedpoint import logistic, rounding_shift, tanh
from qedge.quantmath import multiply_double, quantize_multiplier
from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("LOGISTIC", "TANH")

INTEGER_BITS = 4
"""The argument is taken in Q4: from -16 to 16."""


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, an output that is not the one TFLite Micro insists on."""
    reasons = lookup.expect_int8(c)
    if not reasons and c.op.op == "LOGISTIC" and scalar(c.output)[1] != -128:
        reasons.append(
            Reason(f"the output's zero point is {scalar(c.output)[1]}, expected -128", None, "dtype")
        )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call of the table."""
    return lookup.emit(c, partial(_value, c.op.op == "LOGISTIC", *scalar(c.input(0))))


@lru_cache(maxsize=4096)  # the steps of an unrolled layer share their tables
def _value(sigmoid: bool, scale: float, zero_point: int, q: int) -> int:
    multiplier, shift = quantize_multiplier(scale * (1 << (31 - INTEGER_BITS)))
    radius = math.floor(15.0 * (1 << 27) / 2.0**shift)
    centred = q - zero_point
    if abs(centred) >= radius:
        return 127 if centred > 0 else -128
    argument = int(multiply_double(centred, multiplier, shift))
    if sigmoid:
        return rounding_shift(logistic(argument, INTEGER_BITS), 23) - 128
    return rounding_shift(tanh(argument, INTEGER_BITS), 24)
