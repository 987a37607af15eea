"""MAXIMUM, MINIMUM."""

from tests.ops.building import binary, q

CASES = [
    case
    for op in ("MAXIMUM", "MINIMUM")
    for case in (
        binary(op, "same", q((1, 3, 5, 7)), q((1, 3, 5, 7))),
        binary(op, "ends", q((1, 63), 0.1, -128), q((1, 63), 0.1, -128), (0.1, -128)),
        binary(op, "scalar", q((1, 3, 5, 7), 0.2, 127), q((1,), 0.2, 127), (0.2, 127)),
        binary(op, "row-and-column", q((1, 5, 1, 7)), q((1, 1, 3, 7))),
    )
]
