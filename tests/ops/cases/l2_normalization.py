"""L2_NORMALIZATION."""

from qedge.testing.cases import Case
from tests.ops.building import q

CASES = [
    Case(f"{shape}-{zero}", "L2_NORMALIZATION", [q(shape, 0.1, zero)], [q(shape, 1 / 128, 0)])
    for shape, zero in (
        ((1, 8), 0),
        ((3, 7), -128),
        ((3, 5), 127),
        ((1, 2, 3, 1), 3),
        ((1, 255), -1),
        ((2, 2, 3, 33), 126),
    )
]
