"""MAXIMUM, MINIMUM: int8, with broadcasting; bit-exact to TFLite Micro, which compares without rescaling."""

from __future__ import annotations

from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar

NAMES = ("MAXIMUM", "MINIMUM")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, quantisation that differs, shapes."""
    reasons = broadcast.expect_int8(c)
    if not reasons and len({scalar(t) for t in (c.input(0), c.input(1), c.output)}) > 1:
        reasons.append(
            Reason(
                "inputs and output are quantised differently, expected one scale and zero point",
                "convert the model again: the converter gives all three one scale and zero point",
                "dtype",
            )
        )
    return reasons or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    name = c.op.op.lower()
    return broadcast.emit(
        c, f"qe_{name}_s8", "qe_maximum_s8.c", "qe_maximum_params", (), frozenset({f"QE_{c.op.op}"})
    )
