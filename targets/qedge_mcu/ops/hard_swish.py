"""HARD_SWISH: int8, as a table; bit-exact to TFLite Micro, whose arithmetic is 16 bits wide."""

from __future__ import annotations

import numpy as np

from qedge.fixedpoint import rounding_shift
from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("HARD_SWISH",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, scales too far apart."""
    reasons = lookup.expect_int8(c)
    if not reasons and _multipliers(c)[0][1] > 0:
        reasons.append(
            Reason("the input's scale is more than 128 times the output's", "calibrate the model again")
        )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call of the table."""
    zero_in, zero_out = scalar(c.input(0))[1], scalar(c.output)[1]
    (out_multiplier, out_exponent), (relu_multiplier, relu_exponent) = _multipliers(c)

    def value(q: int) -> int:
        fine = (q - zero_in) * 128
        on_output_scale = _high_mul(fine, out_multiplier)
        relu = fine
        if relu_exponent > 0:
            relu = _saturate(relu << (relu_exponent - 1))
        relu = _high_mul(relu, relu_multiplier)
        if relu_exponent > 0:
            relu = _saturate(relu << 1)
        elif relu_exponent < 0:
            relu = rounding_shift(relu, -relu_exponent)
        relu = (relu + (1 << 15)) >> 1
        product = relu * on_output_scale
        truncated = product // (1 << 15) if product >= 0 else -(-product // (1 << 15))
        return rounding_shift(truncated, -out_exponent) + zero_out

    return lookup.emit(c, value)


def _multipliers(c: OpContext) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (16-bit multiplier, exponent) to the output's scale and to that of the ReLU-like factor."""
    scale_in, scale_out = np.float32(scalar(c.input(0))[0]), np.float32(scalar(c.output)[0])
    fine = np.float32(1 / 128) * scale_in
    found = []
    for ratio in (fine / scale_out, fine / np.float32(3 / 32768)):
        multiplier, exponent = quantize_multiplier(float(ratio))
        found.append((min((multiplier + (1 << 15)) >> 16, 32767), exponent))
    return found[0], found[1]


def _saturate(x: int) -> int:
    return max(-32768, min(32767, x))


def _high_mul(a: int, b: int) -> int:
    """Return ``a * b / 2**15`` of 16-bit numbers, rounded to nearest."""
    return _saturate((a * b + (1 << 14)) >> 15)
