"""MUL: int8, with broadcasting and a fused activation; bit-exact to TFLite Micro."""

from __future__ import annotations

from functools import partial

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast, vector
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

NAMES = ("MUL",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    return [*broadcast.expect_int8(c), *expect_activation(c)] or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call of the kernel for two tensors of one shape where it applies, else of the general one."""
    return first_that_fits(partial(_same, c), partial(_general, c))


def _multiplier(c: OpContext) -> tuple[int, int]:
    (scale_a, _), (scale_b, _), (scale, _) = (scalar(t) for t in (c.input(0), c.input(1), c.output))
    return quantize_multiplier(scale_a * scale_b / scale)


def _same(c: OpContext) -> Emitted | None:
    if not broadcast.none(c) or fused_range(c) != (-128, 127):
        return None
    multiplier, shift = _multiplier(c)
    if multiplier == 0:  # with the shift 0
        shift = -1
    return Emitted(
        function="qe_mul_same_s8",
        args=("{params}", "{in0}", "{in1}", "{out0}"),
        kernels=("qe_mul_same_s8.c",),
        headers=("qe_high.h",),
        params=Params(
            "qe_mul_same_params",
            (
                ("multiplier", multiplier),
                ("zero_a", scalar(c.input(0))[1]),
                ("zero_b", scalar(c.input(1))[1]),
                ("shift", -shift),
                ("output_zero_point", scalar(c.output)[1]),
                ("count", c.output.elements),
            ),
        ),
        overlap={0: elementwise(), 1: elementwise()},
    )


def _general(c: OpContext) -> Emitted:
    multiplier, shift = _multiplier(c)
    portable = broadcast.emit(
        c,
        "qe_mul_s8",
        "qe_mul_s8.c",
        "qe_mul_params",
        (
            ("multiplier", multiplier),
            ("offset_a", -scalar(c.input(0))[1]),
            ("offset_b", -scalar(c.input(1))[1]),
            ("shift", shift),
            *output_members(c),
        ),
    )
    return portable if shift > 0 else vector.mul(c, portable)
