"""SOFTMAX: int16 over the last dimension; bit-exact to TFLite Micro."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, scalar
from qedge_mcu.ops.weighted_s16 import expect_symmetric

INT16 = ("SOFTMAX",)
STEPS = 512


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, zero points, an output scale other than 1/32768."""
    reasons = [
        *expect_symmetric(c.input(0), what="the input"),
        *expect_symmetric(c.output, what="the output"),
    ]
    if not reasons and abs(scalar(c.output)[0] * 32768 - 1) > 0.001:
        reasons.append(Reason(f"the output has the scale {scalar(c.output)[0]:g}, expected 1/32768"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    depth = c.input(0).shape[-1]
    real = scalar(c.input(0))[0] * float(np.float32(c.option("beta", 1.0))) / (10.0 / 65535.0)
    multiplier, shift = quantize_multiplier(real)
    return Emitted(
        function="qe_softmax_s16",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_softmax_s16.c",),
        params=Params(
            "qe_softmax_s16_params",
            (
                ("exponential", Ref("exponential")),
                ("reciprocal", Ref("reciprocal")),
                ("rows", c.input(0).elements // depth),
                ("depth", depth),
                ("multiplier", multiplier),
                ("shift", shift),
            ),
        ),
        arrays=(
            ConstArray("exponential", table(math.exp, 10.0, 32767)),
            ConstArray("reciprocal", table(lambda x: 1.0 / (1.0 + x), 1.0, -32768)),
        ),
        overlap={0: overlap.elementwise()},
    )


def table(function: Callable[[float], float], span: float, zero_point: int) -> npt.NDArray[np.int16]:
    """Return 513 values of a function in 0.15 fixed point over ``span``, as ``LUTPopulate`` of TFLite does in float32.

    Each entry is moved by half the error that the interpolation has in the middle.
    """
    one = np.float32
    scale = one(span) / one(65535)
    low, high = scale * one(-32768 - zero_point), scale * one(32767 - zero_point)
    step = (high - low) / one(STEPS)
    out_scale = one(2.0) / one(65535)
    inverse = one(65536) / (out_scale * one(32767) - out_scale * one(-32768))

    def at(x: np.float32) -> np.float32:
        return one(one(function(float(x))) * inverse)

    entries = []
    for i in range(STEPS):
        x = low + one(i) * step
        sample = _round(at(x))
        middle = _round((at(low + one(i + 1) * step) + sample) / one(2))
        bias = _round((middle - _round(at(x + step / one(2)))) / one(2))
        entries.append(sample - bias)
    entries.append(_round(at(high)))
    return np.clip(np.array(entries, np.float64), -32768, 32767).astype(np.int16)


def _round(x: np.float32) -> np.float32:
    """Return a float32 rounded to a whole number, halves away from zero."""
    return np.float32(math.copysign(math.floor(abs(float(x)) + 0.5), float(x)))
