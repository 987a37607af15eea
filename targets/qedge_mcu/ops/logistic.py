"""LOGISTIC, TANH: int8, computed or as a table; bit-exact to TFLite Micro."""

from __future__ import annotations

import math
from functools import lru_cache, partial

from qedge.fixedpoint import logistic, rounding_shift, tanh
from qedge.quantmath import multiply_double, quantize_multiplier
from qedge_mcu.ops import lookup, sigmoid
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, scalar
from qedge_mcu.ops.overlap import elementwise

NAMES = ("LOGISTIC", "TANH")

FEW = 64
"""Values at most that are computed."""

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
    """Return the call that computes few values where that is exact, else that of a table.

    A value takes 18 instructions in place of 4, a table 256 bytes.
    """
    logistic, (scale, zero_point), count = c.op.op == "LOGISTIC", scalar(c.input(0)), c.output.elements
    line = None
    if count <= FEW and c.core.divides:
        line = _line(logistic, scale, zero_point)
    if line is None:
        return lookup.emit(c, partial(_value, logistic, scale, zero_point))
    return Emitted(
        function="qe_sigmoid_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_sigmoid_s8.c",),
        headers=("qe_high.h",),
        params=Params("qe_sigmoid_params", (("factor", line[0]), ("start", line[1]), ("count", count))),
        overlap={0: elementwise()},
    )


@lru_cache(maxsize=4096)
def _line(is_logistic: bool, scale: float, zero_point: int) -> tuple[int, int] | None:
    expected = [min(max(_value(is_logistic, scale, zero_point, q), -128), 127) for q in lookup.INT8_VALUES]
    return sigmoid.exact_line(scale if is_logistic else 2 * scale, zero_point, expected)


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
