"""SELECT_V2: bool condition, with broadcasting; exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, expect_type
from qedge_mcu.ops.walk import RANK, Level, broadcast_strides, merge, steps, strides

NAMES = ("SELECT_V2",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, quantisation that differs, shapes."""
    tensors = (c.input(1), c.input(2), c.output)
    reasons = [
        *expect_type(c.input(0), "bool", what="the condition"),
        *movement.expect_movable(tensors),
    ]
    quantized = {t.quantization.scalar for t in tensors if t.quantization is not None}
    if not reasons and len(quantized) > 1:
        reasons.append(
            Reason("values and output are quantised differently, expected one scale and zero point")
        )
    shapes = [c.input(i).shape for i in range(3)]
    if not reasons and np.broadcast_shapes(*shapes) != c.output.shape:
        reasons.append(Reason(f"{[list(s) for s in shapes]} do not broadcast to {list(c.output.shape)}"))
    if not reasons and max(len(levels) for levels in _walks(c)) > RANK:
        reasons.append(Reason(f"more than {RANK} dimensions that cannot be merged"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    first, others = _walks(c)
    return Emitted(
        function="qe_select",
        args=("{params}", "{in0}", "{in1}", "{in2}", "{out0}"),
        kernels=("qe_select.c",),
        headers=("qe_walk.h",),
        params=Params(
            "qe_select_params",
            (
                ("steps", Ref("steps")),
                ("others", Ref("others")),
                ("bytes", ITEM_BYTES[c.output.dtype]),
                ("rank", len(first)),
                ("others_rank", len(others)),
            ),
        ),
        arrays=(ConstArray("steps", steps(first)), ConstArray("others", steps(others))),
    )


def _walks(c: OpContext) -> tuple[list[Level], list[Level]]:
    shape, item = c.output.shape, ITEM_BYTES[c.output.dtype]

    def sides(a: Sequence[int], b: Sequence[int], size_a: int) -> list[Level]:
        return merge(shape, [s * size_a for s in a], [s * item for s in b])

    condition, x, y = (broadcast_strides(c.input(i).shape, shape) for i in range(3))
    return sides(condition, x, 1), sides(y, strides(shape), item)
