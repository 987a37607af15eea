"""ADD: int8, with broadcasting; bit-exact to TFLite Micro."""

from __future__ import annotations

from collections.abc import Mapping

from qedge.quantmath import quantize_multiplier
from qedge_mcu.cores import Family
from qedge_mcu.ops import broadcast, vector
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Prepare,
    Reason,
    expect_activation,
    fused_range,
    scalar,
)
from qedge_mcu.ops.overlap import elementwise

NAMES = ("ADD",)
LEFT_SHIFT = 20
DSP_SHIFT = 20
"""The largest shift of the output before which its zero point can be added, in 32 bits."""


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    reasons = [*broadcast.expect_int8(c), *expect_activation(c)]
    return reasons or broadcast.expect_broadcast(c) or _expect_near_scales(c)


def _expect_near_scales(c: OpContext) -> list[Reason]:
    """Return a reason when the sum would have to grow to reach the output's scale, as in TFLite Micro."""
    largest, output = max(scalar(c.input(0))[0], scalar(c.input(1))[0]), scalar(c.output)[0]
    if 2 * largest < (1 << (LEFT_SHIFT - 1)) * output:
        return []
    return [Reason(f"the output's scale {output} is too fine for inputs of scale {largest}")]


def emit(c: OpContext) -> Emitted:
    """Return the call, with the scales of ``CalculateOpDataAdd``."""
    (scale1, zero1), (scale2, zero2), (scale, zero) = scalar(c.input(0)), scalar(c.input(1)), scalar(c.output)
    twice_max = 2 * max(scale1, scale2)
    multiplier1, shift1 = quantize_multiplier(scale1 / twice_max)
    multiplier2, shift2 = quantize_multiplier(scale2 / twice_max)
    output_multiplier, output_shift = quantize_multiplier(twice_max / ((1 << LEFT_SHIFT) * scale))
    low, high = fused_range(c)
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
    large, small = (0, 1) if scale1 >= scale2 else (1, 0)
    small_multiplier, small_shift = ((multiplier1, shift1), (multiplier2, shift2))[small]
    family = c.core.family if c.core.family != "dsp" or -output_shift <= DSP_SHIFT else "portable"
    function, headers = _KERNELS[family]
    further = ("qe_add_s8.c",) if family == "vector" else ()
    return Emitted(
        function=function,
        args=("{params}", f"{{in{large}}}", f"{{in{small}}}", "{out0}"),
        kernels=(f"{function}.c", *further),
        headers=headers,
        defines=_defines(low, high, zero),
        params=Params(
            "qe_add_params",
            (
                ("count", c.output.elements),
                # A multiplier of one half has no shift: one more bit before it is exact, and is shifted out.
                ("small_factor", 1 << (LEFT_SHIFT + 1 if small_shift < 0 else LEFT_SHIFT + 2)),
                ("small_multiplier", small_multiplier),
                ("output_multiplier", output_multiplier),
                ("large_offset", -(zero1, zero2)[large]),
                ("small_offset", -(zero1, zero2)[small]),
                ("small_shift", max(-small_shift, 1)),
                ("output_shift", -output_shift),
                ("output_zero_point", zero),
                ("low", low),
                ("high", high),
            ),
        ),
        overlap={0: elementwise(), 1: elementwise()},
        prepare=_PREPARE if family == "dsp" else None,
    )


def _defines(low: int, high: int, zero_point: int) -> frozenset[str]:
    clamp = {"QE_ADD_CLAMP"} if (low, high) != (-128, 127) else set()
    signed = {"QE_ADD_SIGNED"} if low < zero_point else set()
    return frozenset(clamp | signed)


_KERNELS: Mapping[Family, tuple[str, tuple[str, ...]]] = {
    "mve": ("qe_add_s8_mve", ("qe_add_s8.h", "qe_mve.h")),
    "dsp": ("qe_add_s8_dsp", ("qe_add_s8.h", "qe_dsp.h")),
    "portable": ("qe_add_s8", ()),
    "vector": ("qe_add_s8_vec", vector.HEADERS),
}
"""Of each family the function, which has a file of its own, and the headers that it includes."""

_PREPARE = Prepare("qe_add_call", "qe_add_prepare_dsp", "qe_add_single_dsp")
