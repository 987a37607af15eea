"""ARG_MAX, ARG_MIN: int8 to int32, along any axis; the first of equal values; exact."""

from __future__ import annotations

from qedge_mcu.ops import movement
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    constant,
    expect_constant,
    expect_quantized,
    expect_type,
)

NAMES = ("ARG_MAX", "ARG_MIN")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, an axis at run time."""
    wide = Reason(
        "the output is int64, expected int32", "tf.argmax(x, axis, output_type=tf.int32) gives that", "dtype"
    )
    return [
        *expect_quantized(c.input(0), what="the input"),
        *([wide] if c.output.dtype == "int64" else expect_type(c.output, "int32", what="the output")),
        *expect_constant(c.input(1), what="the axis"),
    ]


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    shape = c.input(0).shape
    axis = movement.positive_axis(int(constant(c.input(1)).reshape(-1)[0]), len(shape))
    inner = 1
    for size in shape[axis + 1 :]:
        inner *= size
    return Emitted(
        function=f"qe_{c.op.op.lower()}_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_arg_max_s8.c",),
        defines=frozenset({f"QE_{c.op.op}"}),
        params=Params(
            "qe_arg_max_params",
            (("outer", c.output.elements // inner), ("count", shape[axis]), ("inner", inner)),
        ),
    )
