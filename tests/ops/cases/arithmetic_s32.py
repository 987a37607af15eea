"""ADD, SUB, MUL, MAXIMUM, MINIMUM, comparisons of int32, FLOOR_DIV of float32: what models do with indices."""

from __future__ import annotations

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant

SHAPE = (2, 3, 4)
FLOATS = Spec(SHAPE, "float32")
ROW = [0.5, -0.25, 3.0, -7.0]


def case(op: str, name: str, b: Spec, out: str = "int32") -> Case:
    """Return a case."""
    return Case(f"{op}-{name}", op, [Spec(SHAPE, "int32"), b], [Spec(SHAPE, out)])


CASES = [
    *(case(op, "same", Spec(SHAPE, "int32")) for op in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")),
    *(case(op, "one", constant([7])) for op in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")),
    *(
        case(op, "one", constant([0]), "bool")
        for op in ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")
    ),
    Case("FLOOR_DIV-row", "FLOOR_DIV", [FLOATS, constant(ROW, "float32")], [FLOATS]),
    Case("FLOOR_DIV-one", "FLOOR_DIV", [FLOATS, constant([[[-0.375]]], "float32")], [FLOATS]),
    Case(
        "FLOOR_DIV-of-one",
        "FLOOR_DIV",
        [constant([[[5.5]]], "float32"), constant([ROW, ROW], "float32")],
        [Spec((1, 2, 4), "float32")],
    ),
    Case("edges", "ABS", [Spec((1, 5), "int8", 0.1, -128)], [Spec((1, 5), "int8", 0.1, 127)]),
]
