"""REVERSE_V2: along one or several axes; exact."""

from __future__ import annotations

from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason, constant, expect_constant
from qedge_mcu.ops.walk import strides

NAMES = ("REVERSE_V2",)


def _layout(c: OpContext) -> tuple[list[int], int]:
    """Return the input's strides along the output, and the first element read."""
    shape = c.input(0).shape
    steps = strides(shape)
    start = 0
    for axis in {movement.positive_axis(int(a), len(shape)) for a in constant(c.input(1)).reshape(-1)}:
        start += (shape[axis] - 1) * steps[axis]
        steps[axis] = -steps[axis]
    return steps, start


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, axes at run time, too many dimensions."""
    reasons = [
        *movement.expect_movable([c.input(0), c.output]),
        *expect_constant(c.input(1), what="the axes"),
    ]
    return reasons or movement.expect_rank(c.output.shape, _layout(c)[0], strides(c.output.shape))


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    steps, start = _layout(c)
    return movement.copy(c.output, c.output.shape, steps, strides(c.output.shape), start)
