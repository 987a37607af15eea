"""STRIDED_SLICE: begin, end and shrink-axis masks, negative strides; exact.

TFLite Micro ignores the ellipsis and new-axis masks, so a model that has them is refused.
"""

from __future__ import annotations

from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason, constant, expect_constant
from qedge_mcu.ops.walk import strides

NAMES = ("STRIDED_SLICE",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, a block that is chosen at run time, masks, a wrong output."""
    reasons = movement.expect_movable([c.input(0), c.output])
    for position, what in ((1, "begin"), (2, "end"), (3, "strides")):
        reasons += expect_constant(c.input(position), what=f"the {what} of the slice")
    for mask in ("ellipsis_mask", "new_axis_mask"):
        if c.option(mask, 0):
            reasons.append(Reason(f"{mask.replace('_', ' ')} {c.option(mask)}, expected 0"))
    if reasons:
        return reasons
    sizes, a, _ = block(c)
    elements = 1
    for size in sizes:
        elements *= size
    if elements != c.output.elements:
        return [Reason(f"the slice has {elements} values, the output {c.output.elements}")]
    return movement.expect_rank(sizes, a, strides(sizes))


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    sizes, a, start = block(c)
    return movement.copy(c.output, sizes, a, strides(sizes), start)


def block(c: OpContext) -> tuple[list[int], list[int], int]:
    """Return sizes, input strides and first element of the block."""
    begin, end, step = (constant(c.input(i)).reshape(-1).tolist() for i in (1, 2, 3))
    inner = strides(c.input(0).shape)
    sizes, found, start = [], [], 0
    for axis, whole in enumerate(c.input(0).shape):
        low, high = (0, whole) if step[axis] > 0 else (-1, whole - 1)
        first = begin[axis] + (whole if begin[axis] < 0 else 0)
        first = max(low, min(high, first))
        last = end[axis] + (whole if end[axis] < 0 else 0)
        last = max(low, min(high, last))
        bit = 1 << axis
        if int(c.option("begin_mask", 0)) & bit:
            first = low if step[axis] > 0 else high
        if int(c.option("end_mask", 0)) & bit:
            last = high if step[axis] > 0 else low
        if int(c.option("shrink_axis_mask", 0)) & bit:
            count = 1
        else:
            count = max(0, -((first - last) // step[axis]))
        sizes.append(count)
        found.append(inner[axis] * step[axis])
        start += first * inner[axis]
    return sizes, found, start
