"""SUB: int8, with broadcasting and a fused activation; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, expect_activation, output_members, scalar

NAMES = ("SUB",)

LEFT_SHIFT = 20
"""Bits that both inputs gain before they are brought to one scale."""


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes, an output scale far too fine."""
    reasons = [*broadcast.expect_int8(c), *expect_activation(c)]
    if not reasons and _scales(c)[2][1] > 0:
        reasons.append(Reason("the output's scale is too fine for the inputs'", "calibrate the model again"))
    return reasons or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    a, b, out = _scales(c)
    return broadcast.emit(
        c,
        "qe_sub_s8",
        "qe_sub_s8.c",
        "qe_sub_params",
        (
            ("multiplier_a", a[0]),
            ("multiplier_b", b[0]),
            ("out_multiplier", out[0]),
            ("offset_a", -scalar(c.input(0))[1]),
            ("offset_b", -scalar(c.input(1))[1]),
            ("shift_a", a[1]),
            ("shift_b", b[1]),
            ("out_shift", out[1]),
            *output_members(c),
        ),
    )


def _scales(c: OpContext) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return (multiplier, shift) of both inputs and of the output."""
    a, b, out = (scalar(t)[0] for t in (c.input(0), c.input(1), c.output))
    twice = 2 * max(a, b)
    return (
        quantize_multiplier(a / twice),
        quantize_multiplier(b / twice),
        quantize_multiplier(twice / ((1 << LEFT_SHIFT) * out)),
    )
