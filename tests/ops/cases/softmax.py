"""SOFTMAX."""

from qedge.testing.cases import Case
from tests.ops.building import q

CASES = [
    Case(
        f"{shape}-{scale}-{zero}-{beta}",
        "SOFTMAX",
        [q(shape, scale, zero)],
        [q(shape, 1 / 256, -128)],
        {"beta": beta},
    )
    for shape, scale, zero, beta in (
        ((1, 10), 0.1, 3, 1.0),
        ((1, 12), 0.047, -128, 1.0),
        ((1, 2), 0.2, 127, 1.0),
        ((1, 1), 0.1, 0, 1.0),
        ((3, 33), 0.01, -5, 1.0),
        ((1, 5, 3, 21), 0.5, 9, 1.0),
        ((1, 100), 0.003, 0, 2.5),
        ((1, 255), 1.7, 0, 1.0),
    )
]
