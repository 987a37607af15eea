"""ADD, SUB, MUL, MAXIMUM, MINIMUM, FLOOR_DIV and comparisons: int32 without quantisation, with broadcasting; exact.

Division by zero gives zero.
"""

from __future__ import annotations

from dataclasses import replace

from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, expect_type
from qedge_mcu.ops.comparison import WHEN

WHAT = {"ADD": 0, "SUB": 1, "MUL": 2, "MAXIMUM": 3, "MINIMUM": 4, "FLOOR_DIV": 5}
INT32 = (*WHAT, *WHEN)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, a fused activation, shapes."""
    reasons = [
        *expect_type(c.input(0), "int32", what="input 0"),
        *expect_type(c.input(1), "int32", what="input 1"),
        *expect_type(c.output, "bool" if c.op.op in WHEN else "int32", what="the output"),
    ]
    if c.option("fused_activation_function", "NONE") != "NONE":
        reasons.append(Reason(f"fused activation {c.option('fused_activation_function')}, expected NONE"))
    return reasons or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    compares = c.op.op in WHEN
    name = "qe_compare_s32" if compares else "qe_arithmetic_s32"
    defines = {name.upper(), *(["QE_S32_FLOOR_DIV"] if c.op.op == "FLOOR_DIV" else [])}
    call = broadcast.emit(
        c,
        name,
        "qe_arithmetic_s32.c",
        "qe_arithmetic_s32_params",
        (("what", WHAT.get(c.op.op, 0)), ("when", WHEN.get(c.op.op, 0))),
        frozenset(defines),
    )
    return replace(call, overlap={}) if compares else call
