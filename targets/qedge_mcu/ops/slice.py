"""SLICE: a block of up to six dimensions; exact."""

from __future__ import annotations

from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason, constant, expect_constant
from qedge_mcu.ops.walk import strides

NAMES = ("SLICE",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, a block that is chosen at run time or lies outside the input."""
    reasons = [
        *movement.expect_movable([c.input(0), c.output]),
        *expect_constant(c.input(1), what="the begin of the slice"),
        *expect_constant(c.input(2), what="the size of the slice"),
    ]
    if reasons:
        return reasons
    begin = constant(c.input(1)).reshape(-1).tolist()
    for axis, (first, size, whole) in enumerate(zip(begin, c.output.shape, c.input(0).shape)):
        if first < 0 or first + size > whole:
            reasons.append(Reason(f"axis {axis} is cut from {first} to {first + size} of {whole}"))
    data = c.input(0)
    return reasons or movement.expect_rank(c.output.shape, strides(data.shape), strides(c.output.shape))


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    inner = strides(c.input(0).shape)
    start = sum(int(b) * s for b, s in zip(constant(c.input(1)).reshape(-1), inner))
    return movement.copy(c.output, c.output.shape, inner, strides(c.output.shape), start)
