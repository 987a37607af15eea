"""PACK."""

from qedge.testing.cases import Case
from tests.ops.building import q

CASES = [
    Case(
        "first",
        "PACK",
        [q((3, 5), 0.1, -128), q((3, 5), 0.1, -128)],
        [q((2, 3, 5), 0.1, -128)],
        {"axis": 0, "values_count": 2},
    ),
    Case(
        "middle", "PACK", [q((3, 5), 0.1, 127)] * 3, [q((3, 3, 5), 0.1, 127)], {"axis": 1, "values_count": 3}
    ),
    Case("last", "PACK", [q((3, 5)), q((3, 5))], [q((3, 5, 2))], {"axis": -1, "values_count": 2}),
    Case("one", "PACK", [q((3, 5))], [q((1, 3, 5))], {"axis": 0, "values_count": 1}),
]
