"""SLICE."""

from qedge.testing.cases import Case
from tests.ops.building import ints, q

CASES = [
    Case(
        "block",
        "SLICE",
        [q((1, 5, 7, 9), 0.1, -128), ints(0, 1, 2, 3), ints(1, 3, 4, 5)],
        [q((1, 3, 4, 5), 0.1, -128)],
    ),
    Case(
        "rest",
        "SLICE",
        [q((1, 5, 7, 9), 0.1, 127), ints(0, 2, 0, 0), ints(1, -1, -1, -1)],
        [q((1, 3, 7, 9), 0.1, 127)],
    ),
    Case("channels", "SLICE", [q((1, 5, 7, 9)), ints(0, 0, 0, 4), ints(1, 5, 7, 1)], [q((1, 5, 7, 1))]),
    Case("vector", "SLICE", [q((11,)), ints(10), ints(1)], [q((1,))]),
    Case(
        "rank-5",
        "SLICE",
        [q((2, 3, 2, 3, 5)), ints(1, 0, 1, 1, 2), ints(1, 3, 1, 2, 3)],
        [q((1, 3, 1, 2, 3))],
    ),
]
