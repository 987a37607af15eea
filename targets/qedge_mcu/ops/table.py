"""TABLE and FOLDED, which no model has: what `qedge_mcu.tables` makes of a function that is one table."""

from __future__ import annotations

from dataclasses import replace

from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason

INNER = ("TABLE", "FOLDED")


def check(c: OpContext) -> list[Reason]:
    """Return nothing: the operators that it was made of have been checked."""
    return []


def emit(c: OpContext) -> Emitted:
    """Return the call of the table."""
    if c.op.op == "FOLDED":
        return Emitted(note="part of the table that follows")
    entries = c.option("entries")
    unsigned = c.input(0).dtype == "uint8"
    note = "a table of the model's own" if c.op.custom_name == "GATHER" else "a function in float as a table"
    call = lookup.emit(c, lambda q: entries[q & 255 if unsigned else q + 128], note)
    return (
        replace(call, args=("{params}", "(const int8_t *)(const void *){in0}", "{out0}"))
        if unsigned
        else call
    )
