"""What the operators share that combine two tensors element by element, with broadcasting."""

from __future__ import annotations

import numpy as np

from qedge.graph import Tensor
from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, Value, expect_quantized
from qedge_mcu.ops.walk import RANK, Level, broadcast_strides, merge, steps_array


def expect_int8(c: OpContext) -> list[Reason]:
    """Return reasons unless both inputs and the output are int8 with one scale."""
    return [
        *expect_quantized(c.input(0), what="input 0"),
        *expect_quantized(c.input(1), what="input 1"),
        *expect_quantized(c.output, what="the output"),
    ]


def expect_broadcast(c: OpContext) -> list[Reason]:
    """Return reasons when the inputs' shapes do not broadcast to the output's, or in too many dimensions."""
    a, b, out = c.input(0).shape, c.input(1).shape, c.output.shape
    if np.broadcast_shapes(a, b) != tuple(out):
        return [
            Reason(f"{list(a)} and {list(b)} broadcast to {list(np.broadcast_shapes(a, b))}, not {list(out)}")
        ]
    found = len(_levels(c.input(0), c.input(1), c.output))
    return (
        []
        if found <= RANK
        else [Reason(f"{found} dimensions that cannot be merged, expected {RANK} at most")]
    )


def none(c: OpContext) -> bool:
    """Whether each value of both inputs is used once: at most their shapes' leading ones differ."""
    return c.input(0).elements == c.input(1).elements == c.output.elements


def _levels(a: Tensor, b: Tensor, out: Tensor) -> list[Level]:
    return merge(out.shape, broadcast_strides(a.shape, out.shape), broadcast_strides(b.shape, out.shape))


def emit(
    c: OpContext,
    function: str,
    kernel: str,
    type: str,
    members: tuple[tuple[str, Value], ...],
    defines: frozenset[str] = frozenset(),
    arrays: tuple[ConstArray, ...] = (),
) -> Emitted:
    """Return the call of a kernel whose parameters begin with the walk (``qe_broadcast``)."""
    levels = _levels(c.input(0), c.input(1), c.output)
    size, step_a, step_b = levels.pop()
    outer = levels or [(1, 0, 0)]
    walk: tuple[tuple[str, Value], ...] = (
        ("steps", Ref("steps")),
        ("row", size),
        ("rank", len(outer)),
        ("step_a", step_a),
        ("step_b", step_b),
    )
    same = {i: overlap.elementwise() for i in (0, 1) if c.input(i).elements == c.output.elements}
    return Emitted(
        function=function,
        args=("{params}", "{in0}", "{in1}", "{out0}"),
        kernels=(kernel,),
        headers=("qe_walk.h",),
        params=Params(type, (*walk, *members)),
        arrays=(steps_array(outer), *arrays),
        defines=defines,
        overlap=same
        if c.output.dtype == c.input(0).dtype == c.input(1).dtype or c.output.dtype == "bool"
        else {},
    )
