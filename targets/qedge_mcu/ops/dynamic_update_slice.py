"""DYNAMIC_UPDATE_SLICE: a block written at a place known at run time, which is clamped; exact."""

from __future__ import annotations

import numpy as np

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement, overlap
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, expect_type
from qedge_mcu.ops.walk import strides

NAMES = ("DYNAMIC_UPDATE_SLICE",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, starts of other than 32 bits, too many dimensions."""
    reasons = [
        *movement.expect_movable([c.input(0), c.input(1), c.output]),
        *expect_type(c.input(2), "int32", what="the starts"),
    ]
    shape = c.input(1).shape
    return reasons or movement.expect_rank(shape, strides(shape), strides(c.output.shape))


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    block, whole = c.input(1).shape, c.output.shape
    members, steps = movement.copy_parts(c.output, block, strides(block), strides(whole))
    copied = dict(members)
    item = ITEM_BYTES[c.output.dtype]
    return Emitted(
        function="qe_update_slice",
        args=("{params}", "{in0}", "{in1}", "{in2}", "{out0}"),
        kernels=("qe_update_slice.c",),
        headers=("qe_walk.h",),
        params=Params(
            "qe_update_slice_params",
            (
                ("steps", Ref("steps")),
                ("room", Ref("room")),
                ("strides", Ref("strides")),
                ("bytes", c.output.nbytes),
                ("run", copied["run"]),
                ("rank", copied["rank"]),
                ("dimensions", len(whole)),
            ),
        ),
        arrays=(
            steps,
            ConstArray("room", np.array([a - b for a, b in zip(whole, block)], np.int32)),
            ConstArray("strides", np.array([s * item for s in strides(whole)], np.int32)),
        ),
        overlap={0: overlap.elementwise()},
        in_place=frozenset({0}),
    )
