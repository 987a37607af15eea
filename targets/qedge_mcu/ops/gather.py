"""GATHER, GATHER_ND, EMBEDDING_LOOKUP: entries by their positions, along any axis, with batches; exact.

A position outside the tensor, with which TFLite Micro stops, takes the nearest entry.
"""

from __future__ import annotations

import numpy as np

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, expect_type
from qedge_mcu.ops.walk import strides

NAMES = ("GATHER", "GATHER_ND", "EMBEDDING_LOOKUP")


def _positions(c: OpContext) -> tuple[int, int]:
    """Return the places among the operator's inputs of (entries, positions)."""
    return (1, 0) if c.op.op == "EMBEDDING_LOOKUP" else (0, 1)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, positions of other than 32 bits, an output quantised otherwise."""
    entries, positions = _positions(c)
    reasons = [
        *movement.expect_movable([c.input(entries), c.output]),
        *expect_type(c.input(positions), "int32", what="the positions"),
    ]
    if not reasons and c.op.op != "GATHER_ND":
        found = _geometry(c)
        if found[0] * found[1] * found[3] * found[4] != c.output.nbytes:
            reasons.append(Reason(f"the entries are {found} bytes, the output {c.output.nbytes}"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    entries, positions = _positions(c)
    common = {
        "args": ("{params}", f"{{in{entries}}}", f"{{in{positions}}}", "{out0}"),
        "kernels": ("qe_gather.c",),
    }
    if c.op.op == "GATHER_ND":
        return _gather_nd(c)
    names = ("batches", "outer", "size", "count", "bytes")
    return Emitted(
        function="qe_gather",
        args=common["args"],
        kernels=common["kernels"],
        defines=frozenset({"QE_GATHER"}),
        params=Params("qe_gather_params", tuple(zip(names, _geometry(c)))),
    )


def _geometry(c: OpContext) -> tuple[int, int, int, int, int]:
    """Return (batches, outer blocks, entries along the axis, positions a batch, bytes of an entry)."""
    entries, positions = (c.input(i) for i in _positions(c))
    axis = movement.positive_axis(int(c.option("axis", 0)), len(entries.shape))
    batch_dims = movement.positive_axis(int(c.option("batch_dims", 0)), len(positions.shape))
    if c.op.op == "EMBEDDING_LOOKUP":
        axis = batch_dims = 0
    shape = entries.shape

    def product(values: tuple[int, ...]) -> int:
        return int(np.prod(values, dtype=np.int64))

    return (
        product(shape[:batch_dims]),
        product(shape[batch_dims:axis]),
        shape[axis],
        product(positions.shape[batch_dims:]),
        product(shape[axis + 1 :]) * ITEM_BYTES[entries.dtype],
    )


def _gather_nd(c: OpContext) -> Emitted:
    entries, positions = c.input(0), c.input(1)
    depth = positions.shape[-1]
    item = ITEM_BYTES[entries.dtype]
    steps = [s * item for s in strides(entries.shape)]
    return Emitted(
        function="qe_gather_nd",
        args=("{params}", "{in0}", "{in1}", "{out0}"),
        kernels=("qe_gather.c",),
        defines=frozenset({"QE_GATHER_ND"}),
        params=Params(
            "qe_gather_nd_params",
            (
                ("sizes", Ref("sizes")),
                ("strides", Ref("strides")),
                ("count", positions.elements // depth),
                ("bytes", c.output.nbytes // max(positions.elements // depth, 1)),
                ("depth", depth),
            ),
        ),
        arrays=(
            ConstArray("sizes", np.array(entries.shape[:depth], np.int32)),
            ConstArray("strides", np.array(steps[:depth], np.int32)),
        ),
    )
