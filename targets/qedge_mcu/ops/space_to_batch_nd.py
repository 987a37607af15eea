"""SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND: one or two dimensions, with padding or cropping; exact."""

from __future__ import annotations

import numpy as np

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, constant, expect_constant, scalar

NAMES = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, blocks at run time, more than two dimensions."""
    reasons = [
        *movement.expect_movable([c.input(0), c.output]),
        *expect_constant(c.input(1), what="the block's shape"),
        *expect_constant(c.input(2), what="the padding"),
    ]
    dims = c.input(1).elements
    if not reasons and (dims not in (1, 2) or len(c.input(0).shape) < dims + 1):
        reasons.append(Reason(f"{dims} dimensions of {list(c.input(0).shape)}, expected 1 or 2"))
    if not reasons and ITEM_BYTES[c.output.dtype] > 1 and c.output.quantization is not None:
        fill = scalar(c.output)[1]
        if fill != 0:
            reasons.append(
                Reason(f"the zero point is {fill}, expected 0 for {c.output.dtype}", None, "dtype")
            )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call; one dimension is a height of 1."""
    block = [int(v) for v in constant(c.input(1)).reshape(-1)]
    first = [int(v) for v in constant(c.input(2)).reshape(-1, 2)[:, 0]]
    dims = len(block)
    outer = [1] * (2 - dims)
    data, output = c.input(0), c.output
    height, width = (*outer, *block)
    top, left = (*([0] * (2 - dims)), *first)
    spread = c.op.op == "SPACE_TO_BATCH_ND"
    name = "qe_space_to_batch" if spread else "qe_batch_to_space"
    fill = scalar(output)[1] & 255 if output.quantization is not None else 0
    in_size, out_size = ((*outer, *t.shape[1 : 1 + dims]) for t in (data, output))
    pixel = int(np.prod(data.shape[1 + dims :], dtype=np.int64)) * ITEM_BYTES[data.dtype]
    return Emitted(
        function=name,
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_space_to_batch.c",),
        defines=frozenset({name.upper()}),
        params=Params(
            "qe_space_to_batch_params",
            (
                ("batches", (data if spread else output).shape[0]),
                ("in_height", in_size[0]),
                ("in_width", in_size[1]),
                ("out_height", out_size[0]),
                ("out_width", out_size[1]),
                ("block_height", height),
                ("block_width", width),
                ("top", top),
                ("left", left),
                ("bytes", pixel),
                ("fill", fill),
            ),
        ),
    )
