"""TRANSPOSE: any permutation; exact."""

from __future__ import annotations

from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason, constant, expect_constant
from qedge_mcu.ops.walk import strides

NAMES = ("TRANSPOSE",)


def _layout(c: OpContext) -> tuple[tuple[int, ...], list[int], list[int]]:
    data, perm = c.input(0), [int(v) for v in constant(c.input(1)).reshape(-1)]
    inner = strides(data.shape)
    sizes = tuple(data.shape[p] for p in perm)
    return sizes, [inner[p] for p in perm], strides(sizes)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, a permutation at run time, too many dimensions."""
    reasons = [
        *movement.expect_movable([c.input(0), c.output]),
        *expect_constant(c.input(1), what="the permutation"),
    ]
    return reasons or movement.expect_rank(*_layout(c))


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    return movement.copy(
        c.output, *_layout(c), note=f"permutation {constant(c.input(1)).reshape(-1).tolist()}"
    )
