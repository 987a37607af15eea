"""RESHAPE, SQUEEZE and EXPAND_DIMS: no code; the output is the input under another shape."""

from __future__ import annotations

from qedge_mcu.ops.base import Emitted, OpContext, Reason

NAMES = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: a constant input, sizes that differ."""
    data = c.input(0)
    if data.is_constant:
        return [Reason("the input is a constant", "fold the constant when converting the model")]
    if data.nbytes != c.output.nbytes:
        return [Reason(f"{list(data.shape)} becomes {list(c.output.shape)}, which is another size")]
    return []


def emit(c: OpContext) -> Emitted:
    """Return an alias."""
    return Emitted(alias=True)
