"""Operators on one int8 value become a table of 256, each entry exactly what TFLite Micro computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref, expect_quantized

INT8_VALUES = range(-128, 128)


def expect_int8(c: OpContext) -> list[Reason]:
    """Return reasons unless input and output are int8 with one scale."""
    return [*expect_quantized(c.input(0), what="the input"), *expect_quantized(c.output, what="the output")]


def emit(c: OpContext, function: Callable[[int], int], note: str = "") -> Emitted:
    """Return the call that applies ``function`` (clamped to int8) to every value."""
    table = np.clip([function(q) for q in INT8_VALUES], -128, 127).astype(np.int8)
    return Emitted(
        function="qe_lookup_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_lookup_s8.c",),
        params=Params("qe_lookup_params", (("table", Ref("table")), ("count", c.output.elements))),
        arrays=(ConstArray("table", table),),
        overlap={0: overlap.elementwise()},
        note=note or "table",
    )
