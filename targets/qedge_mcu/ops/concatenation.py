"""CONCATENATION: any number of inputs along any axis; exact.

As in TFLite Micro all inputs have the quantisation of the output, so bytes are only moved.
"""

from __future__ import annotations

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import Emitted, OpContext, Reason

NAMES = ("CONCATENATION",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, quantisation that differs, a fused activation."""
    tensors = [t for t in c.inputs if t is not None]
    reasons = movement.expect_movable([*tensors, c.output])
    if c.option("fused_activation_function", "NONE") != "NONE":
        reasons.append(Reason(f"fused activation {c.option('fused_activation_function')}, expected NONE"))
    if reasons or c.output.dtype != "int8":
        return reasons
    for i, tensor in enumerate(tensors):
        q, wanted = tensor.quantization, c.output.quantization
        if q is None or wanted is None or q.per_channel or wanted.per_channel or q.scalar != wanted.scalar:
            reasons.append(
                Reason(
                    f"input {i} is quantised otherwise than the output",
                    "convert the model again: the converter gives both one scale and zero point",
                    "dtype",
                )
            )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    rank = len(c.output.shape)
    axis = movement.positive_axis(int(c.option("axis", 0)), rank)
    outer = 1
    for size in c.output.shape[:axis]:
        outer *= size
    item = ITEM_BYTES[c.output.dtype]
    chunks = [t.elements * item // outer for t in c.inputs if t is not None]
    return movement.parts(
        "qe_concatenation", ("{params}", "{ins}", "{out0}"), "qe_concatenation.c", outer, chunks
    )
