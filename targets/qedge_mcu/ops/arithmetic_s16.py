"""ADD, SUB, MUL, SQUARED_DIFFERENCE, PRELU, MAXIMUM, MINIMUM: int16, with broadcasting; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Reason,
    expect_activation,
    expect_quantized,
    fused_range,
    scalar,
)
from qedge_mcu.ops.weighted_s16 import expect_symmetric

INT16 = ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "PRELU", "MAXIMUM", "MINIMUM")
LEFT_SHIFT = 15
_SYMMETRIC = ("MUL", "SQUARED_DIFFERENCE")
Pair = tuple[int, int]


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, zero points, quantisation that differs, shapes."""
    kinds = (("int16",), ("int8",) if c.op.op == "PRELU" else ("int16",))
    reasons = [
        *expect_quantized(c.input(0), what="input 0", dtypes=kinds[0]),
        *expect_quantized(c.input(1), what="input 1", dtypes=kinds[1]),
        *expect_quantized(c.output, what="the output", dtypes=("int16",)),
        *expect_activation(c),
    ]
    if not reasons and c.op.op in _SYMMETRIC:
        for tensor, what in ((c.input(0), "input 0"), (c.input(1), "input 1"), (c.output, "the output")):
            reasons += expect_symmetric(tensor, what=what)
    same = c.op.op in ("MAXIMUM", "MINIMUM")
    if not reasons and same and len({scalar(t) for t in (c.input(0), c.input(1), c.output)}) > 1:
        reasons.append(
            Reason("inputs and output are quantised differently, expected one scale and zero point")
        )
    if not reasons and c.op.op in ("ADD", "SUB", "SQUARED_DIFFERENCE") and _scales(c)[2][1] > 0:
        reasons.append(Reason("the output's scale is too fine for the inputs'", "calibrate the model again"))
    return reasons or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    zero_out = scalar(c.output)[1]
    a, b, out = _scales(c)
    low, high = fused_range(c)
    plain = c.op.op in ("MAXIMUM", "MINIMUM")
    return broadcast.emit(
        c,
        f"qe_{c.op.op.lower()}_s16",
        "qe_arithmetic_s16.c",
        "qe_arithmetic_s16_params",
        (
            ("multiplier_a", a[0]),
            ("multiplier_b", b[0]),
            ("out_multiplier", out[0]),
            ("offset_a", 0 if plain else -scalar(c.input(0))[1]),
            ("offset_b", 0 if plain else -scalar(c.input(1))[1]),
            ("output_zero_point", 0 if plain else zero_out),
            ("low", low),
            ("high", high),
            ("shift_a", a[1]),
            ("shift_b", b[1]),
            ("out_shift", out[1]),
        ),
        frozenset({f"QE_{c.op.op}_S16"}),
    )


def _scales(c: OpContext) -> tuple[Pair, Pair, Pair]:
    """Return (multiplier, shift) of both inputs and of the output, as each operator's ``Prepare`` does."""
    scale_a, scale_b, scale = (scalar(t)[0] for t in (c.input(0), c.input(1), c.output))
    one: Pair = (0, 0)
    if c.op.op in ("MAXIMUM", "MINIMUM"):
        return one, one, one
    if c.op.op == "MUL":
        return one, one, quantize_multiplier(scale_a * scale_b / scale)
    if c.op.op == "PRELU":
        return quantize_multiplier(scale_a / scale), quantize_multiplier(scale_a * scale_b / scale), one
    twice = 2 * max(scale_a, scale_b)
    if c.op.op == "SQUARED_DIFFERENCE":
        ratios = (scale_a / twice, scale_b / twice, twice * twice / scale)
    else:
        ratios = (scale_a / twice, scale_b / twice, twice / ((1 << LEFT_SHIFT) * scale))
    return quantize_multiplier(ratios[0]), quantize_multiplier(ratios[1]), quantize_multiplier(ratios[2])
