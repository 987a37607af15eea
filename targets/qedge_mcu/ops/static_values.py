"""ZEROS_LIKE, SHAPE, BROADCAST_ARGS: values that the model's shapes decide; exact."""

from __future__ import annotations

import numpy as np

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops.base import (
    Array,
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Reason,
    Ref,
    constant,
    expect_constant,
    expect_type,
    scalar,
)

NAMES = ("ZEROS_LIKE", "SHAPE", "BROADCAST_ARGS")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes at run time."""
    if c.op.op == "BROADCAST_ARGS":
        reasons = [
            *expect_constant(c.input(0), what="the first shape"),
            *expect_constant(c.input(1), what="the second shape"),
        ]
        return [*reasons, *expect_type(c.output, "int32", what="the output")]
    if c.op.op == "SHAPE":
        return expect_type(c.output, "int32", what="the output")
    return expect_type(
        c.output, *(t for t in ITEM_BYTES if t in ("int8", "int16", "int32", "float32")), what="the output"
    )


def _values(c: OpContext) -> Array:
    if c.op.op == "SHAPE":
        return np.array(c.input(0).shape, np.int32)
    if c.op.op == "BROADCAST_ARGS":
        shapes = (tuple(constant(c.input(i)).reshape(-1).tolist()) for i in (0, 1))
        return np.array(np.broadcast_shapes(*shapes), np.int32)
    zero = scalar(c.output)[1] if c.output.quantization is not None else 0
    return np.array([zero], c.output.dtype)


def emit(c: OpContext) -> Emitted:
    """Return the call that writes the values."""
    values = np.ascontiguousarray(_values(c))
    return Emitted(
        function="qe_fill",
        args=("{params}", "{out0}"),
        kernels=("qe_fill.c",),
        params=Params(
            "qe_fill_params",
            (
                ("values", Ref("values")),
                ("bytes", values.nbytes),
                ("count", c.output.nbytes // max(values.nbytes, 1)),
            ),
        ),
        arrays=(ConstArray("values", np.frombuffer(values.tobytes(), np.uint8).view(np.int8)),),
    )
