"""ADD, SUB, MUL, MAXIMUM, MINIMUM, FLOOR_DIV, comparisons of int32: what models do with indices."""

from __future__ import annotations

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant

SHAPE = (2, 3, 4)


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
    *(
        case("FLOOR_DIV", name, constant(by))
        for name, by in (("one", [7]), ("minus", [-48]), ("row", [3, -5, 1, 1 << 20]))
    ),
    Case("edges", "ABS", [Spec((1, 5), "int8", 0.1, -128)], [Spec((1, 5), "int8", 0.1, 127)]),
]
