"""BROADCAST_TO, FILL: one value or block, repeated; exact."""

from __future__ import annotations

from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason
from qedge_mcu.ops.walk import broadcast_strides, strides

NAMES = ("BROADCAST_TO", "FILL")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, too many dimensions."""
    source = c.input(1 if c.op.op == "FILL" else 0)
    reasons = movement.expect_movable([source, c.output])
    shape = c.output.shape
    return reasons or movement.expect_rank(shape, broadcast_strides(source.shape, shape), strides(shape))


def emit(c: OpContext) -> Emitted:
    """Return the call; the output's shape is the model's."""
    position = 1 if c.op.op == "FILL" else 0
    shape = c.output.shape
    steps = broadcast_strides(c.input(position).shape, shape)
    return movement.copy(c.output, shape, steps, strides(shape), source=position)
