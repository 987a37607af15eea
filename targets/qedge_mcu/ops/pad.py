"""PAD, PADV2: constant padding on any side of up to six dimensions; exact."""

from __future__ import annotations

import numpy as np

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, constant, expect_constant
from qedge_mcu.ops.walk import strides

NAMES = ("PAD", "PADV2")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, paddings or a value at run time, too many dimensions."""
    reasons = [
        *movement.expect_movable([c.input(0), c.output]),
        *expect_constant(c.input(1), what="the padding"),
    ]
    value = c.optional(2)
    if value is not None:
        reasons += expect_constant(value, what="the value to pad with")
    data = c.input(0)
    return reasons or movement.expect_rank(data.shape, strides(data.shape), strides(c.output.shape))


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    data, output, value = c.input(0), c.output, c.optional(2)
    outer = strides(output.shape)
    before = constant(c.input(1)).reshape(-1, 2)[:, 0]
    start = sum(int(b) * s for b, s in zip(before, outer))
    members, steps = movement.copy_parts(output, data.shape, strides(data.shape), outer, 0, start)
    fill = output.quantization.scalar[1] if output.quantization is not None else 0
    if value is not None:
        fill = constant(value).reshape(-1)[0]
    raw = int.from_bytes(np.array(fill, output.dtype).tobytes(), "little")
    item = ITEM_BYTES[output.dtype]
    if item > 1:
        return Emitted(
            function="qe_pad_items",
            args=("{params}", "{in0}", "{out0}", str(output.nbytes), f"{raw}u", str(item)),
            kernels=("qe_copy.c",),
            headers=("qe_walk.h",),
            defines=frozenset({"QE_PAD_ITEMS"}),
            params=Params("qe_copy_params", members),
            arrays=(steps,),
        )
    return Emitted(
        function="qe_pad",
        args=("{params}", "{in0}", "{out0}", str(output.nbytes), str(int(fill))),
        kernels=("qe_copy.c",),
        headers=("qe_walk.h",),
        defines=frozenset({"QE_PAD"}),
        params=Params("qe_copy_params", members),
        arrays=(steps,),
    )
