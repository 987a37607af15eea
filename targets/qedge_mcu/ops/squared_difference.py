"""SQUARED_DIFFERENCE: int8, with broadcasting; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("SQUARED_DIFFERENCE",)

LEFT_SHIFT = 7
"""Bits that both inputs gain before they are brought to one scale."""


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    return broadcast.expect_int8(c) or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    (scale_a, zero_a), (scale_b, zero_b), (scale, zero_out) = (
        scalar(t) for t in (c.input(0), c.input(1), c.output)
    )
    twice = 2.0 * max(scale_a, scale_b)
    a, b = quantize_multiplier(scale_a / twice), quantize_multiplier(scale_b / twice)
    out = quantize_multiplier(twice * twice / ((1 << 2 * LEFT_SHIFT) * scale))
    return broadcast.emit(
        c,
        "qe_squared_difference_s8",
        "qe_squared_difference_s8.c",
        "qe_squared_difference_params",
        (
            ("multiplier_a", a[0]),
            ("multiplier_b", b[0]),
            ("out_multiplier", out[0]),
            ("offset_a", -zero_a),
            ("offset_b", -zero_b),
            ("shift_a", a[1]),
            ("shift_b", b[1]),
            ("out_shift", out[1]),
            ("output_zero_point", zero_out),
        ),
    )
