"""SUB: int8, with broadcasting and a fused activation; bit-exact to TFLite Micro."""

from __future__ import annotations

from functools import partial

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    expect_activation,
    fused_range,
    output_members,
    scalar,
)
from qedge_mcu.ops.overlap import elementwise
from qedge_mcu.structs import first_that_fits

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
    """Return the call of the kernel for two tensors of one shape where it applies, else of the general one."""
    return first_that_fits(partial(_same, c), partial(_general, c))


def _same(c: OpContext) -> Emitted | None:
    if not broadcast.none(c) or fused_range(c) != (-128, 127):
        return None
    large, small = (0, 1) if scalar(c.input(0))[0] >= scalar(c.input(1))[0] else (1, 0)
    scales = _scales(c)
    (multiplier, shift), (out_multiplier, out_shift) = scales[small], scales[2]
    return Emitted(
        function="qe_sub_same_s8",
        args=("{params}", f"{{in{large}}}", f"{{in{small}}}", "{out0}"),
        kernels=("qe_sub_same_s8.c",),
        headers=("qe_high.h",),
        params=Params(
            "qe_sub_same_params",
            (
                ("small_multiplier", multiplier),
                ("output_multiplier", out_multiplier),
                ("large_zero", scalar(c.input(large))[1]),
                ("small_zero", scalar(c.input(small))[1]),
                ("small_shift", max(-shift, 1)),
                ("output_shift", -out_shift),
                ("output_zero_point", scalar(c.output)[1]),
                # A multiplier of one half has no shift: one more bit before it is exact, and is shifted out.
                ("small_bits", LEFT_SHIFT + 1 if shift < 0 else LEFT_SHIFT + 2),
                ("reversed", large),
                ("count", c.output.elements),
            ),
        ),
        overlap={0: elementwise(), 1: elementwise()},
    )


def _general(c: OpContext) -> Emitted:
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
