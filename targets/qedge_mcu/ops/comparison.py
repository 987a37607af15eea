"""EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL: int8 to bool, with broadcasting; bit-exact.

TFLite Micro brings both inputs to a common scale of 1/256 and compares the rounded values, so values of
fine scales can be equal that are not.
"""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, expect_quantized, expect_type, scalar

LESS, EQUAL, GREATER = 1, 2, 4

WHEN = {
    "EQUAL": EQUAL,
    "NOT_EQUAL": LESS | GREATER,
    "GREATER": GREATER,
    "GREATER_EQUAL": GREATER | EQUAL,
    "LESS": LESS,
    "LESS_EQUAL": LESS | EQUAL,
}
NAMES = tuple(WHEN)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, scales of 1 or more, shapes."""
    reasons = [
        *expect_quantized(c.input(0), what="input 0"),
        *expect_quantized(c.input(1), what="input 1"),
        *expect_type(c.output, "bool", what="the output"),
    ]
    if not reasons:
        for i in (0, 1):
            if quantize_multiplier(scalar(c.input(i))[0])[1] > 0:
                reasons.append(
                    Reason(f"input {i} has the scale {scalar(c.input(i))[0]:g}, expected less than 1")
                )
    return reasons or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    a, b = (quantize_multiplier(scalar(c.input(i))[0]) for i in (0, 1))
    return broadcast.emit(
        c,
        "qe_compare_s8",
        "qe_compare_s8.c",
        "qe_compare_params",
        (
            ("multiplier_a", a[0]),
            ("multiplier_b", b[0]),
            ("offset_a", -scalar(c.input(0))[1]),
            ("offset_b", -scalar(c.input(1))[1]),
            ("shift_a", a[1]),
            ("shift_b", b[1]),
            ("when", WHEN[c.op.op]),
        ),
    )
