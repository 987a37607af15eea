"""DIV: int8, with broadcasting and a fused activation; bit-exact to TFLite Micro.

Division by the zero point, with which TFLite Micro stops, gives zero. So does a quotient far below one step of the
output, where TFLite Micro shifts by 32 bits and more, which C does not define.
"""

from __future__ import annotations

import numpy as np

from qedge.fixedpoint import one_over_one_plus
from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Reason,
    Ref,
    expect_activation,
    output_members,
    scalar,
)

NAMES = ("DIV",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    return [*broadcast.expect_int8(c), *expect_activation(c)] or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    (scale_a, zero_a), (scale_b, zero_b), (scale, _) = (scalar(t) for t in (c.input(0), c.input(1), c.output))
    multiplier, shift = quantize_multiplier(scale_a / (scale_b * scale))
    table = np.array([reciprocal(abs(q - zero_b)) for q in range(-128, 128)], np.int32)
    return broadcast.emit(
        c,
        "qe_div_s8",
        "qe_div_s8.c",
        "qe_div_params",
        (
            ("reciprocal", Ref("reciprocal")),
            ("multiplier", multiplier),
            ("offset_a", -zero_a),
            ("offset_b", -zero_b),
            ("shift", shift),
            *output_members(c),
        ),
        arrays=(ConstArray("reciprocal", table),),
    )


def reciprocal(x: int) -> int:
    """Return ``1 / x`` in 0.31 fixed point, times the power of two at the top of ``x`` (``GetReciprocal``); 0 for 0.

    >>> reciprocal(1) == reciprocal(2), reciprocal(0)
    (True, 0)
    """
    if x == 0:
        return 0
    return one_over_one_plus((x << (32 - x.bit_length())) - (1 << 31))
