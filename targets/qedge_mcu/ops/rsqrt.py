"""RSQRT: int8, as a table; bit-exact to TFLite Micro wherever that answers.

TFLite Micro stops with an error at a value below the zero point, whose root does not exist; here the largest
value stands for it, as it does for zero.
"""

from __future__ import annotations

import numpy as np

from qedge.fixedpoint import inverse_square_root
from qedge.quantmath import multiply_double, quantize_multiplier
from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("RSQRT",)

_GUARD_BITS = 20


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return lookup.expect_int8(c)


def emit(c: OpContext) -> Emitted:
    """Return the call of the table."""
    (scale_in, zero_in), (scale_out, zero_out) = scalar(c.input(0)), scalar(c.output)
    product = np.sqrt(np.float32(scale_in)) * np.float32(scale_out)
    multiplier, shift = quantize_multiplier(1.0 / float(product))

    def value(q: int) -> int:
        if q <= zero_in:
            return 127
        root, root_shift = inverse_square_root(q - zero_in)
        fine = multiply_double(1, root, root_shift + _GUARD_BITS)
        return int(multiply_double(fine, multiplier, shift - _GUARD_BITS)) + zero_out

    return lookup.emit(c, value)
