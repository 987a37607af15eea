"""SPLIT, SPLIT_V, UNPACK."""

from qedge.testing.cases import Case
from tests.ops.building import ints, q, scalar

CASES = [
    Case(
        "split-channels",
        "SPLIT",
        [scalar(3), q((1, 3, 5, 8), 0.1, -128)],
        [q((1, 3, 5, 4), 0.1, -128)] * 2,
        {"num_splits": 2},
    ),
    Case(
        "split-rows",
        "SPLIT",
        [scalar(-2), q((1, 9, 5), 0.1, 127)],
        [q((1, 3, 5), 0.1, 127)] * 3,
        {"num_splits": 3},
    ),
    Case(
        "split-v",
        "SPLIT_V",
        [q((1, 9, 5)), ints(1, 5, 3), scalar(1)],
        [q((1, 1, 5)), q((1, 5, 5)), q((1, 3, 5))],
        {"num_splits": 3},
    ),
    Case(
        "split-v-channels",
        "SPLIT_V",
        [q((3, 9)), ints(2, 7), scalar(-1)],
        [q((3, 2)), q((3, 7))],
        {"num_splits": 2},
    ),
    Case("unpack", "UNPACK", [q((3, 5, 7))], [q((3, 7))] * 5, {"axis": 1, "num": 5}),
    Case("unpack-last", "UNPACK", [q((3, 5, 2))], [q((3, 5))] * 2, {"axis": -1, "num": 2}),
]
