"""RELU, RELU6: int8, as a table; bit-exact to TFLite Micro."""

from __future__ import annotations

import math

import numpy as np

from qedge.quantmath import multiply_double, quantize_multiplier
from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("RELU", "RELU6")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return lookup.expect_int8(c)


def emit(c: OpContext) -> Emitted:
    """Return the call of the table.

    RELU changes the scale; RELU6 only clamps, whatever the output's scale says, as TFLite Micro does.
    """
    (scale_in, zero_in), (scale_out, zero_out) = scalar(c.input(0)), scalar(c.output)
    if c.op.op == "RELU6":
        six = zero_in + math.floor(float(np.float32(6.0) / np.float32(scale_in)) + 0.5)
        return lookup.emit(c, lambda q: max(zero_in, min(min(six, 127), q)))
    multiplier, shift = quantize_multiplier(scale_in / scale_out)

    def value(q: int) -> int:
        return max(zero_out, int(multiply_double(q - zero_in, multiplier, shift)) + zero_out)

    return lookup.emit(c, value)
