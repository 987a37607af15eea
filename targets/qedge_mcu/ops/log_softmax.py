"""LOG_SOFTMAX: int8 over the last dimension; bit-exact to TFLite Micro."""

from __future__ import annotations

import math

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, expect_quantized, scalar
from qedge_mcu.ops.overlap import elementwise

NAMES = ("LOG_SOFTMAX",)
INTEGER_BITS = 5


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, an output of another scale than 1/16."""
    reasons = [
        *expect_quantized(c.input(0), what="the input"),
        *expect_quantized(c.output, what="the output"),
    ]
    if not reasons and scalar(c.output) != (1 / 16, 127):
        scale, zero = scalar(c.output)
        reasons.append(Reason(f"the output has scale {scale} and zero point {zero}, expected 1/16 and 127"))
    if not reasons and not 0 <= _scaling(c)[1] <= 30:
        reasons.append(
            Reason(f"the input's scale {scalar(c.input(0))[0]:g} is too small", "calibrate the model again")
        )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call, prepared as ``PreprocessLogSoftmaxScalingExp`` and ``CalculateInputRadius`` do."""
    depth = c.input(0).shape[-1]
    multiplier, shift = _scaling(c)
    reverse, reverse_shift = quantize_multiplier((1 << (31 - shift)) / multiplier)
    radius = ((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / (1 << shift)
    return Emitted(
        function="qe_log_softmax_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_log_softmax_s8.c",),
        headers=("qe_fixed_point.h",),
        params=Params(
            "qe_log_softmax_params",
            (
                ("rows", c.input(0).elements // depth),
                ("depth", depth),
                ("multiplier", multiplier),
                ("reverse_multiplier", reverse),
                ("diff_min", -math.floor(radius)),
                ("shift", shift),
                ("reverse_shift", -reverse_shift),
            ),
        ),
        overlap={0: elementwise()},
    )


def _scaling(c: OpContext) -> tuple[int, int]:
    """Return (multiplier, shift to the left) from differences of the input to Q5.26."""
    real = scalar(c.input(0))[0] * (1 << (31 - INTEGER_BITS))
    return quantize_multiplier(min(real, (1 << 31) - 1.0))
