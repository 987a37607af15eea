"""TABLE and FOLDED, which no model has: what `qedge_mcu.tables` makes of a function that is written as a table."""

from __future__ import annotations

from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason, constant

INNER = ("TABLE", "FOLDED")


def check(c: OpContext) -> list[Reason]:
    """Return nothing: the operators that it was made of have been checked."""
    return []


def emit(c: OpContext) -> Emitted:
    """Return the call of the table; a place outside it takes the nearest entry, as GATHER does."""
    if c.op.op == "FOLDED":
        return Emitted(note="part of the table that follows")
    entries, offset = constant(c.input(1)), int(c.option("offset"))
    last = len(entries) - 1
    return lookup.emit(c, lambda q: int(entries[min(max(q + offset, 0), last)]), "a table of the model's own")
