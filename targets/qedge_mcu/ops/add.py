"""ADD: int8, with broadcasting; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    activation_range,
    expect_activation,
    expect_quantized,
    scalar,
)
from qedge_mcu.ops.overlap import elementwise

NAMES = ("ADD",)
LEFT_SHIFT = 20


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    reasons = [
        *expect_quantized(c.input(0), what="input 0"),
        *expect_quantized(c.input(1), what="input 1"),
        *expect_quantized(c.output, what="the output"),
        *expect_activation(c),
    ]
    return reasons or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call, with the scales of ``CalculateOpDataAdd``."""
    (scale1, zero1), (scale2, zero2), (scale, zero) = scalar(c.input(0)), scalar(c.input(1)), scalar(c.output)
    twice_max = 2 * max(scale1, scale2)
    multiplier1, shift1 = quantize_multiplier(scale1 / twice_max)
    multiplier2, shift2 = quantize_multiplier(scale2 / twice_max)
    output_multiplier, output_shift = quantize_multiplier(twice_max / ((1 << LEFT_SHIFT) * scale))
    low, high = activation_range(c.option("fused_activation_function", "NONE"), scale, zero)
    if c.input(0).shape != c.input(1).shape:
        return broadcast.emit(
            c,
            "qe_add_broadcast_s8",
            "qe_add_broadcast_s8.c",
            "qe_add_broadcast_params",
            (
                ("multiplier_a", multiplier1),
                ("multiplier_b", multiplier2),
                ("out_multiplier", output_multiplier),
                ("offset_a", -zero1),
                ("offset_b", -zero2),
                ("shift_a", shift1),
                ("shift_b", shift2),
                ("out_shift", output_shift),
                ("output_zero_point", zero),
                ("low", low),
                ("high", high),
            ),
        )
    return Emitted(
        function="qe_add_s8",
        args=("{params}", "{in0}", "{in1}", "{out0}"),
        kernels=("qe_add_s8.c",),
        params=Params(
            "qe_add_params",
            (
                ("count", c.output.elements),
                ("multiplier1", multiplier1),
                ("multiplier2", multiplier2),
                ("output_multiplier", output_multiplier),
                ("offset1", -zero1),
                ("offset2", -zero2),
                ("shift1", shift1),
                ("shift2", shift2),
                ("output_shift", output_shift),
                ("output_zero_point", zero),
                ("low", low),
                ("high", high),
            ),
        ),
        overlap={0: elementwise(), 1: elementwise()},
    )
