"""RELU, RELU6, LEAKY_RELU, LOGISTIC, TANH: int16; bit-exact to TFLite Micro."""

from __future__ import annotations

import math

import numpy as np

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import conversion, overlap
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, expect_quantized, scalar
from qedge_mcu.ops.unidirectional_sequence_lstm import sigmoid_table
from qedge_mcu.ops.weighted_s16 import expect_symmetric

INT16 = ("RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH")
_CURVES = ("LOGISTIC", "TANH")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, zero points, an output scale other than 1/32768 of a curve."""
    expect = expect_quantized if c.op.op in ("RELU6", "LEAKY_RELU") else expect_symmetric
    dtypes = {"dtypes": ("int16",)} if expect is expect_quantized else {}
    reasons = [
        *expect(c.input(0), what="the input", **dtypes),
        *expect(c.output, what="the output", **dtypes),
    ]
    if not reasons and c.op.op in _CURVES and scalar(c.output)[0] != 2.0**-15:
        reasons.append(Reason(f"the output has the scale {scalar(c.output)[0]:g}, expected 1/32768"))
    if not reasons and c.op.op in _CURVES and _argument(c)[0] > 32767:
        reasons.append(Reason(f"the input has the scale {scalar(c.input(0))[0]:g}, expected less than 2"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    if c.op.op in _CURVES:
        return _curve(c)
    (scale_in, zero_in), (scale_out, _) = scalar(c.input(0)), scalar(c.output)
    if c.op.op == "RELU6":
        six = zero_in + math.floor(float(np.float32(6.0) / np.float32(scale_in)) + 0.5)
        shifted = scalar(c.output)[1] - zero_in
        return conversion.emit(c, conversion.ONE, low=zero_in + shifted, high=min(six, 32767) + shifted)
    identity = quantize_multiplier(scale_in / scale_out)
    if c.op.op == "RELU":
        return conversion.emit(c, identity, low=scalar(c.output)[1])
    alpha = float(np.float32(c.option("alpha", 0.0)))
    slope = quantize_multiplier(abs(scale_in * alpha / scale_out))
    return conversion.emit(c, identity, slope, minus=alpha < 0)


def _argument(c: OpContext) -> tuple[int, int]:
    """Return (multiplier, shift to the right) that bring the input to steps of 1/12288."""
    scale = scalar(c.input(0))[0]
    mantissa, exponent = math.frexp(scale)
    left = 12 + exponent - 1
    if mantissa == 0.5 and left in ((0, 1) if c.op.op == "TANH" else (0,)):
        return 3 << left, 0
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        shift += 1
        multiplier *= 2.0
    return int(multiplier), shift


def _curve(c: OpContext) -> Emitted:
    multiplier, shift = _argument(c)
    return Emitted(
        function=f"qe_{c.op.op.lower()}_s16",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_sigmoid_s16.c",),
        defines=frozenset({f"QE_{c.op.op}_S16"}),
        params=Params(
            "qe_sigmoid_s16_params",
            (
                ("table", Ref("sigmoid")),
                ("count", c.output.elements),
                ("multiplier", multiplier),
                ("shift", shift),
            ),
        ),
        arrays=(ConstArray("sigmoid", sigmoid_table()),),
        overlap={0: overlap.elementwise()},
    )
