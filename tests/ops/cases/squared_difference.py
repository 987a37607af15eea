"""SQUARED_DIFFERENCE."""

from tests.ops.building import binary, q

OP = "SQUARED_DIFFERENCE"
CASES = [
    binary(OP, "same", q((1, 3, 5, 7)), q((1, 3, 5, 7), 0.2, -5), (3.0, -128)),
    binary(OP, "ends", q((1, 63), 0.1, -128), q((1, 63), 0.1, 127), (8.0, -128)),
    binary(OP, "other-ends", q((1, 63), 0.1, 127), q((1, 63), 0.03, -128), (0.5, 127)),
    binary(OP, "saturates", q((1, 63), 0.5, 0), q((1, 63), 0.5, 0), (0.1, 0)),
    binary(OP, "mean", q((1, 3, 5, 7)), q((1, 1, 1, 7), 0.05, 3), (1.0, -128)),
]
