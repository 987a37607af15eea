"""PACK: stacks its inputs along a new axis; exact."""

from __future__ import annotations

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason

NAMES = ("PACK",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return movement.expect_movable([*(t for t in c.inputs if t is not None), c.output])


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    axis = movement.positive_axis(int(c.option("axis", 0)), len(c.output.shape))
    outer = 1
    for size in c.output.shape[:axis]:
        outer *= size
    chunk = c.input(0).elements * ITEM_BYTES[c.output.dtype] // outer
    return movement.parts(
        "qe_concatenation",
        ("{params}", "{ins}", "{out0}"),
        "qe_concatenation.c",
        outer,
        [chunk] * len(c.inputs),
    )
