"""ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, SQUARED_DIFFERENCE, FLOOR_DIV: float32, with broadcasting; exact.

What stays in float at the ends of an int8 model, or between its layers: a scaling of the input, a quotient of two
activations. Each value is one IEEE operation, and the same on every core. Division by zero, with which TFLite Micro
stops in FLOOR_DIV, gives what the core's own division gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qedge_mcu.ops import broadcast
from qedge_mcu.ops.base import Emitted, OpContext, Reason, expect_activation, expect_type

NAMES = ("FLOOR_DIV",)
CLAMPED = ("ADD", "SUB", "MUL", "DIV")
FLOAT32 = (*CLAMPED, "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
_WHAT = {name: place for place, name in enumerate((*FLOAT32, *NAMES))}
_MOST = float(np.finfo(np.float32).max)
_RANGES = {"NONE": (-_MOST, _MOST), "RELU": (0.0, _MOST), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, shapes."""
    reasons = [
        reason
        for tensor, what in ((c.input(0), "input 0"), (c.input(1), "input 1"), (c.output, "the output"))
        for reason in expect_type(tensor, "float32", what=what)
    ]
    return [*reasons, *expect_activation(c)] or broadcast.expect_broadcast(c)


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    low, high = _RANGES[c.option("fused_activation_function", "NONE")]
    return broadcast.emit(
        c,
        "qe_arithmetic_f32",
        "qe_arithmetic_f32.c",
        "qe_arithmetic_f32_params",
        (("low", low), ("high", high), ("what", _WHAT[c.op.op])),
        frozenset({f"QE_F32_{c.op.op}"}),
    )


def value(op: str, a: Any, b: Any, activation: str) -> npt.NDArray[np.float32]:
    """Return what the kernel gives for float32 values of both inputs, one of them a single number."""
    operations = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide}
    operations |= {"MAXIMUM": np.maximum, "MINIMUM": np.minimum}
    with np.errstate(all="ignore"):
        found: npt.NDArray[np.float32] = operations[op](a, b, dtype=np.float32)
    if op in CLAMPED:
        low, high = _RANGES[activation]
        found = np.clip(found, np.float32(low), np.float32(high))
    return found
