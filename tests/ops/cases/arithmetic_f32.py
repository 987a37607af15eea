"""Arithmetic of float32, at the ends of integer models and between their layers."""

from __future__ import annotations

from typing import Any

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant

SHAPE = (2, 3, 4)
FLOATS = Spec(SHAPE, "float32")
ROW = [0.5, -0.25, 3.0, -7.0]
OPERATORS = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV")


def case(op: str, name: str, b: Spec, **options: Any) -> Case:
    """Return a case with the floats of ``SHAPE`` as its first input."""
    return Case(f"{op}-{name}", op, [FLOATS, b], [FLOATS], options)


CASES = [
    *(case(op, "row", constant(ROW, "float32")) for op in OPERATORS),
    *(case(op, "one", constant([[[-0.375]]], "float32")) for op in OPERATORS),
    *(case(op, "same", FLOATS) for op in OPERATORS if op not in ("DIV", "FLOOR_DIV")),
    *(
        case(op, activation, constant(ROW, "float32"), fused_activation_function=activation)
        for op, activation in (("ADD", "RELU"), ("SUB", "RELU6"), ("MUL", "RELU_N1_TO_1"), ("DIV", "RELU6"))
    ),
    *(
        Case(
            f"{op}-of-one",
            op,
            [constant([[[5.5]]], "float32"), constant([ROW, ROW], "float32")],
            [Spec((1, 2, 4), "float32")],
        )
        for op in ("DIV", "FLOOR_DIV")
    ),
    Case("edges", "ABS", [Spec((1, 5), "int8", 0.1, -128)], [Spec((1, 5), "int8", 0.1, 127)]),
]
