"""MUL: int8, with broadcasting and a fused activation; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, expect_activation, output_members, scalar

NAMES = ("MUL",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    return [*broadcast.expect_int8(c), *expect_activation(c)] or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    (scale_a, zero_a), (scale_b, zero_b), (scale, _) = (scalar(t) for t in (c.input(0), c.input(1), c.output))
    multiplier, shift = quantize_multiplier(scale_a * scale_b / scale)
    return broadcast.emit(
        c,
        "qe_mul_s8",
        "qe_mul_s8.c",
        "qe_mul_params",
        (
            ("multiplier", multiplier),
            ("offset_a", -zero_a),
            ("offset_b", -zero_b),
            ("shift", shift),
            *output_members(c),
        ),
    )
