"""SPACE_TO_DEPTH, DEPTH_TO_SPACE: move blocks of pixels into channels and back; exact."""

from __future__ import annotations

from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason
from qedge_mcu.ops.walk import strides

NAMES = ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return movement.expect_movable([c.input(0), c.output])


def emit(c: OpContext) -> Emitted:
    """Return the call: both are a transposition of (batch, y, y in block, x, x in block, channel)."""
    block = int(c.option("block_size"))
    fine, coarse = (c.input(0), c.output) if c.op.op == "SPACE_TO_DEPTH" else (c.output, c.input(0))
    batch, height, width, _ = coarse.shape
    depth = fine.shape[3]
    split = strides((batch, height, block, width, block, depth))
    joined = strides((batch, height, width, block, block, depth))
    sizes = (batch, height, width, block, block, depth)
    from_fine = [split[i] for i in (0, 1, 3, 2, 4, 5)]
    a, b = (from_fine, joined) if c.op.op == "SPACE_TO_DEPTH" else (joined, from_fine)
    return movement.copy(c.output, sizes, a, b)
