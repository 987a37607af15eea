"""MIRROR_PAD, TILE: up to four dimensions that change, read from a list of places each; exact."""

from __future__ import annotations

from itertools import chain

import numpy as np

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, constant, expect_constant
from qedge_mcu.ops.walk import strides

NAMES = ("MIRROR_PAD", "TILE")
RANK = 4


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, paddings or multiples at run time, too many dimensions."""
    what = "the padding" if c.op.op == "MIRROR_PAD" else "the multiples"
    reasons = [
        *movement.expect_movable([c.input(0), c.output]),
        *expect_constant(c.input(1), what=what),
    ]
    if not reasons and len(_lists(c)[0]) > RANK:
        reasons.append(Reason(f"{len(_lists(c)[0])} dimensions change, expected {RANK} at most"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    lists, run = _lists(c)
    padded = [[0]] * (RANK - len(lists)) + lists
    return Emitted(
        function="qe_index_copy",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_index_copy.c",),
        params=Params(
            "qe_index_copy_params",
            (
                ("offsets", Ref("offsets")),
                ("sizes", tuple(len(places) for places in padded)),
                ("run", run),
            ),
        ),
        arrays=(ConstArray("offsets", np.array(list(chain.from_iterable(padded)), np.int32)),),
    )


def _lists(c: OpContext) -> tuple[list[list[int]], int]:
    """Return for each dimension the byte offsets that are read, and the bytes that lie together in both."""
    shape = c.input(0).shape
    item = ITEM_BYTES[c.output.dtype]
    steps = [s * item for s in strides(shape)]
    indices = [_indices(c, axis, size) for axis, size in enumerate(shape)]
    run = item
    while indices and indices[-1] == list(range(shape[len(indices) - 1])):
        run *= len(indices.pop())
    return [[i * step for i in places] for places, step in zip(indices, steps)] or [[0]], run


def _indices(c: OpContext, axis: int, size: int) -> list[int]:
    """Return the input's index along an axis for each index of the output."""
    values = constant(c.input(1))
    if c.op.op == "TILE":
        return list(range(size)) * int(values.reshape(-1)[axis])
    before, after = (int(v) for v in values.reshape(-1, 2)[axis])
    skip = 1 if c.option("mode", "REFLECT") == "REFLECT" else 0
    left = [before + skip - 1 - i for i in range(before)]
    right = [max(size - 1 - skip - i, 0) for i in range(after)]
    return [*left, *range(size), *right]
