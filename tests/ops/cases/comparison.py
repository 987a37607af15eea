"""EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL."""

from qedge.testing.cases import Case
from tests.ops.building import bools, q

CASES = [
    case
    for op in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
    for case in (
        Case(f"{op}-same", op, [q((1, 255)), q((1, 255))], [bools((1, 255))]),
        Case(f"{op}-ends", op, [q((1, 63), 0.1, -128), q((1, 63), 0.11, -128)], [bools((1, 63))]),
        Case(f"{op}-scales", op, [q((1, 63), 0.3, 127), q((1, 63), 0.07, 127)], [bools((1, 63))]),
        Case(f"{op}-fine", op, [q((1, 255), 0.001, 0), q((1, 255), 0.0011, 1)], [bools((1, 255))]),
        Case(f"{op}-broadcast", op, [q((1, 3, 5, 7), 0.9), q((1, 5, 1), 0.8)], [bools((1, 3, 5, 7))]),
    )
]
