"""TRANSPOSE."""

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec
from tests.ops.building import ints, q


def case(shape: tuple[int, ...], perm: tuple[int, ...], dtype: str = "int8") -> Case:
    """Return a case named after shape and permutation."""
    out = tuple(shape[p] for p in perm)
    if dtype == "int8":
        specs = q(shape, 0.1, -128), q(out, 0.1, -128)
    else:
        specs = Spec(shape, dtype), Spec(out, dtype)
    return Case(f"{dtype}-{shape}-{perm}", "TRANSPOSE", [specs[0], ints(*perm)], [specs[1]])


CASES = [
    case((1, 3, 5, 7), (0, 1, 2, 3)),
    case((1, 3, 5, 7), (0, 3, 1, 2)),
    case((1, 3, 5, 7), (0, 2, 3, 1)),
    case((1, 3, 5, 7), (0, 2, 1, 3)),
    case((2, 3, 5, 7), (3, 2, 1, 0)),
    case((5, 9), (1, 0)),
    case((3, 5, 9), (0, 2, 1)),
    case((2, 3, 2, 3, 5), (4, 1, 3, 0, 2)),
    case((7,), (0,)),
    case((1, 3, 5, 7), (0, 3, 1, 2), "float32"),
    case((1, 3, 5, 7), (0, 2, 1, 3), "int16"),
    Case("zero-127", "TRANSPOSE", [q((3, 5), 0.2, 127), ints(1, 0)], [q((5, 3), 0.2, 127)]),
]
