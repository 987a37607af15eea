"""ABS, CEIL, COS, ELU, EXP, FLOOR, GELU, LOG, NEG, ROUND, SIN, SQRT, SQUARE: int8, as a table of the function.

ABS and ELU are bit-exact to TFLite Micro, which has no int8 kernel for the others: there an entry is the function of
the real value in float32, rounded to the output's scale, as TFLite's own tables of EXP, LOG and GELU are made. Outside
its domain a function has the output's least value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from qedge.quantmath import multiply_double, quantize_multiplier
from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Reason, scalar


def _half_away(x: float) -> float:
    return math.copysign(math.floor(abs(x) + 0.5), x)


def _gelu(x: float) -> float:
    return 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0)))


def _gelu_tanh(x: float) -> float:
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "CEIL": math.ceil,
    "COS": math.cos,
    "ELU": lambda x: math.expm1(x) if x < 0 else x,
    "EXP": math.exp,
    "FLOOR": math.floor,
    "GELU": _gelu,
    "LOG": lambda x: math.log(x) if x > 0 else -math.inf,
    "NEG": lambda x: -x,
    "ROUND": lambda x: float(np.rint(x)),
    "SIN": math.sin,
    "SQRT": lambda x: math.sqrt(x) if x >= 0 else -math.inf,
    "SQUARE": lambda x: x * x,
}
NAMES = ("ABS", *FUNCTIONS)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return lookup.expect_int8(c)


def emit(c: OpContext) -> Emitted:
    """Return the call of the table."""
    (scale_in, zero_in), (scale_out, zero_out) = scalar(c.input(0)), scalar(c.output)
    if c.op.op == "ABS":
        multiplier, shift = quantize_multiplier(scale_in / scale_out)
        return lookup.emit(c, lambda q: int(multiply_double(abs(q - zero_in), multiplier, shift)) + zero_out)
    function = FUNCTIONS[c.op.op]
    if c.op.op == "GELU" and c.option("approximate", False):
        function = _gelu_tanh
    one = np.float32
    inverse = one(1) / one(scale_out)

    def value(q: int) -> int:
        y = function(float(one(scale_in) * one(q - zero_in)))
        if math.isinf(y):
            return -128 if y < 0 else 127
        rounded = _half_away(float(one(one(y) * inverse)))
        return int(min(max(rounded + zero_out, -128), 127))

    return lookup.emit(c, value)
