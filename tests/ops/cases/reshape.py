"""RESHAPE, SQUEEZE, EXPAND_DIMS: the same bytes under another shape."""

from qedge.testing.cases import Case
from tests.ops.building import ints, q, scalar

CASES = [
    Case(
        "reshape",
        "RESHAPE",
        [q((1, 3, 5, 7), 0.1, -128), ints(1, 105)],
        [q((1, 105), 0.1, -128)],
        {"new_shape": [1, 105]},
    ),
    Case(
        "reshape-minus-one",
        "RESHAPE",
        [q((1, 3, 5, 7), 0.1, 127), ints(15, -1)],
        [q((15, 7), 0.1, 127)],
        {"new_shape": [15, -1]},
    ),
    Case("squeeze", "SQUEEZE", [q((1, 1, 5, 1))], [q((1, 5))], {"squeeze_dims": [1, 3]}),
    Case("expand", "EXPAND_DIMS", [q((3, 5)), scalar(1)], [q((3, 1, 5))]),
    Case("expand-last", "EXPAND_DIMS", [q((3, 5)), scalar(-1)], [q((3, 5, 1))]),
]
