"""FULLY_CONNECTED of two activations, as TFLiteConverter writes the scores of an attention: a product of matrices."""

from __future__ import annotations

from qedge_mcu.ops.base import Emitted, OpContext, Reason, expect_quantized
from qedge_mcu.ops.batch_matmul import product
from qedge_mcu.ops.walk import merge


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, a bias other than zeros, a fused activation."""
    bias = c.optional(2)
    reasons = [
        *expect_quantized(c.input(0), what="the input"),
        *expect_quantized(c.input(1), what="weights that are computed at run time"),
        *expect_quantized(c.output, what="the output"),
    ]
    if bias is not None and (bias.data is None or bias.data.any()):
        reasons.append(Reason("weights are computed at run time and there is a bias, expected none or zeros"))
    activation = c.option("fused_activation_function", "NONE")
    if activation != "NONE":
        reasons.append(Reason(f"weights are computed at run time and {activation} is fused, expected NONE"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call of BATCH_MATMUL's kernel, its right side transposed."""
    columns, depth = c.input(1).shape
    return product(c, (c.input(0).elements // depth, depth, columns), (False, True), merge((), (), ()))
