"""CAST: between int8, int16, int32, float32 and from uint8 and bool; exact."""

from __future__ import annotations

from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, expect_type

NAMES = ("CAST",)

_FROM = {"int8": 1, "int16": 2, "int32": 4, "uint8": 5, "bool": 5, "float32": 6}
_TO = {"int8": 1, "int16": 2, "int32": 4, "float32": 6}


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return [
        *expect_type(c.input(0), *_FROM, what="the input"),
        *expect_type(c.output, *_TO, what="the output"),
    ]


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    return Emitted(
        function="qe_cast",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_cast.c",),
        params=Params(
            "qe_cast_params",
            (("count", c.output.elements), ("from", _FROM[c.input(0).dtype]), ("to", _TO[c.output.dtype])),
        ),
    )
