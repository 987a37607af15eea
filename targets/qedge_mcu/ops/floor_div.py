"""FLOOR_DIV: float32, with broadcasting; exact.

Division by zero, with which TFLite Micro stops, gives what the core's own division gives.
"""

from __future__ import annotations

from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, expect_type

NAMES = ("FLOOR_DIV",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    reasons = [
        reason
        for tensor, what in ((c.input(0), "input 0"), (c.input(1), "input 1"), (c.output, "the output"))
        for reason in expect_type(tensor, "float32", what=what)
    ]
    return reasons or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    return broadcast.emit(c, "qe_floor_div_f32", "qe_floor_div_f32.c", "qe_floor_div_params", ())
