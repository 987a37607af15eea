"""SOFTMAX: int8 to int8 or int16 over the last dimension; bit-exact to TFLite Micro."""

from __future__ import annotations

import math

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, expect_quantized, scalar
from qedge_mcu.ops.overlap import elementwise

NAMES = ("SOFTMAX",)
INTEGER_BITS = 5


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, an output of another scale than 1/256."""
    reasons = [
        *expect_quantized(c.input(0), what="the input"),
        *expect_quantized(c.output, what="the output", dtypes=("int8", "int16")),
    ]
    if reasons:
        return reasons
    scale, zero = scalar(c.output)
    if c.output.dtype == "int8" and (scale, zero) != (1 / 256, -128):
        reasons.append(Reason(f"the output has scale {scale} and zero point {zero}, expected 1/256 and -128"))
    if c.output.dtype == "int16" and (abs(scale * 65536 - 1) > 0.001 or zero != -32768):
        reasons.append(
            Reason(f"the output has scale {scale} and zero point {zero}, expected 1/65536 and -32768")
        )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call, prepared as ``PreprocessSoftmaxScaling`` and ``CalculateInputRadius`` do."""
    depth = c.input(0).shape[-1]
    real = float(c.option("beta", 1.0)) * scalar(c.input(0))[0] * (1 << (31 - INTEGER_BITS))
    multiplier, left_shift = quantize_multiplier(min(real, (1 << 31) - 1.0))
    radius = ((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / (1 << left_shift)
    name = "qe_softmax_s8" if c.output.dtype == "int8" else "qe_softmax_s8_s16"
    return Emitted(
        function=name,
        args=("{params}", "{in0}", "{out0}"),
        kernels=(f"{name}.c",),
        headers=("qe_softmax_s8.h", "qe_fixed_point.h"),
        params=Params(
            "qe_softmax_params",
            (
                ("rows", c.input(0).elements // depth),
                ("depth", depth),
                ("multiplier", multiplier),
                ("diff_min", -math.floor(radius)),
                ("left_shift", left_shift),
            ),
        ),
        overlap={0: elementwise()} if c.output.dtype == "int8" else {},
    )
