"""ARG_MAX, ARG_MIN."""

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec
from tests.ops.building import q, scalar


def case(shape: tuple[int, ...], axis: int, zero: int = 3, op: str = "ARG_MAX") -> Case:
    """Return a case named after its geometry."""
    out = tuple(n for d, n in enumerate(shape) if d != axis % len(shape))
    inputs = [q(shape, 0.1, zero), scalar(axis)]
    return Case(f"{op}-{shape}-{axis}", op, inputs, [Spec(out, "int32")], {"output_type": "INT32"})


CASES = [
    case((1, 10), 1, -128),
    case((1, 10), -1, 127),
    case((3, 5, 7), 1),
    case((1, 3, 5, 7), -1),
    case((1, 3, 5, 7), 1),
    case((3, 5), 0),
    case((1, 1), 1),
    case((1, 10), 1, -128, "ARG_MIN"),
    case((3, 5, 7), 1, 127, "ARG_MIN"),
    case((1, 3, 5, 7), -1, 3, "ARG_MIN"),
]
