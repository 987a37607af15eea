"""SPLIT, SPLIT_V, UNPACK: deal one tensor out to several; exact."""

from __future__ import annotations

from qedge.graph import Tensor
from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason, constant, expect_constant

NAMES = ("SPLIT", "SPLIT_V", "UNPACK")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, an axis at run time."""
    reasons = movement.expect_movable([_data(c), *c.outputs])
    if c.op.op != "UNPACK":
        reasons += expect_constant(_axis_tensor(c), what="the axis")
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    data = _data(c)
    if c.op.op == "UNPACK":
        axis = int(c.option("axis", 0))
    else:
        axis = int(constant(_axis_tensor(c)).reshape(-1)[0])
    outer = 1
    for size in data.shape[: movement.positive_axis(axis, len(data.shape))]:
        outer *= size
    chunks = [t.elements * ITEM_BYTES[t.dtype] // outer for t in c.outputs]
    position = 1 if c.op.op == "SPLIT" else 0
    return movement.parts(
        "qe_split", ("{params}", f"{{in{position}}}", "{outs}"), "qe_split.c", outer, chunks
    )


def _data(c: OpContext) -> Tensor:
    return c.input(1 if c.op.op == "SPLIT" else 0)


def _axis_tensor(c: OpContext) -> Tensor:
    return c.input(0 if c.op.op == "SPLIT" else 2)
