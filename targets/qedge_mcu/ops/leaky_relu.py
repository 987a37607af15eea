"""LEAKY_RELU: int8, as a table; bit-exact to TFLite Micro."""

from __future__ import annotations

import numpy as np

from qedge.quantmath import multiply_double, quantize_multiplier
from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("LEAKY_RELU",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return lookup.expect_int8(c)


def emit(c: OpContext) -> Emitted:
    """Return the call of the table."""
    (scale_in, zero_in), (scale_out, zero_out) = scalar(c.input(0)), scalar(c.output)
    alpha = float(np.float32(c.option("alpha", 0.0)))
    identity = quantize_multiplier(scale_in / scale_out)
    slope = quantize_multiplier(abs(scale_in * alpha / scale_out))

    def value(q: int) -> int:
        if q >= zero_in:
            return int(multiply_double(q - zero_in, *identity)) + zero_out
        scaled = int(multiply_double(q - zero_in, *slope))
        return (-scaled if alpha < 0 else scaled) + zero_out

    return lookup.emit(c, value)
