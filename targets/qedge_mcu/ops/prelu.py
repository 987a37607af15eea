"""PRELU: int8, with a slope that broadcasts; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("PRELU",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    return broadcast.expect_int8(c) or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    (scale_in, zero_in), (scale_slope, zero_slope), (scale, zero_out) = (
        scalar(t) for t in (c.input(0), c.input(1), c.output)
    )
    positive = quantize_multiplier(scale_in / scale)
    negative = quantize_multiplier(scale_in * scale_slope / scale)
    return broadcast.emit(
        c,
        "qe_prelu_s8",
        "qe_prelu_s8.c",
        "qe_prelu_params",
        (
            ("multiplier_positive", positive[0]),
            ("multiplier_negative", negative[0]),
            ("offset_a", -zero_in),
            ("offset_b", -zero_slope),
            ("shift_positive", positive[1]),
            ("shift_negative", negative[1]),
            ("output_zero_point", zero_out),
        ),
    )
