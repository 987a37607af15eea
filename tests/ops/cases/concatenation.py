"""CONCATENATION: each axis, one to five inputs, constants among them."""

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant
from tests.ops.building import q, random_int8

CASES = [
    Case("channels", "CONCATENATION", [q((1, 3, 5, 7)), q((1, 3, 5, 2))], [q((1, 3, 5, 9))], {"axis": 3}),
    Case(
        "negative-axis",
        "CONCATENATION",
        [q((1, 3, 5), 0.1, -128), q((1, 3, 1), 0.1, -128)],
        [q((1, 3, 6), 0.1, -128)],
        {"axis": -1},
    ),
    Case(
        "rows",
        "CONCATENATION",
        [q((1, 3, 5, 7), 0.1, 127), q((1, 1, 5, 7), 0.1, 127), q((1, 2, 5, 7), 0.1, 127)],
        [q((1, 6, 5, 7), 0.1, 127)],
        {"axis": 1},
    ),
    Case("one", "CONCATENATION", [q((3, 5))], [q((3, 5))], {"axis": 0}),
    Case("five", "CONCATENATION", [q((1, n, 2)) for n in (1, 2, 3, 1, 5)], [q((1, 12, 2))], {"axis": 1}),
    Case(
        "constant",
        "CONCATENATION",
        [constant(random_int8("c", (1, 2, 3)), "int8", 0.1, 3), q((1, 5, 3))],
        [q((1, 7, 3))],
        {"axis": 1},
    ),
    Case(
        "float",
        "CONCATENATION",
        [Spec((2, 3), "float32"), Spec((2, 2), "float32")],
        [Spec((2, 5), "float32")],
        {"axis": 1},
    ),
    Case(
        "int32",
        "CONCATENATION",
        [Spec((2, 3), "int32"), Spec((1, 3), "int32")],
        [Spec((3, 3), "int32")],
        {"axis": 0},
    ),
]
