"""PRELU: a slope for each channel, for each value, for all."""

from qedge.testing.opmodels import constant
from tests.ops.building import binary, q, random_int8


def slope(shape: tuple[int, ...], zero_point: int = 0):  # type: ignore[no-untyped-def]
    """Return constant slopes."""
    return constant(random_int8("slope", shape), "int8", 0.004, zero_point)


CASES = [
    binary("PRELU", "channel", q((1, 3, 5, 7)), slope((1, 1, 7)), (0.08, -4)),
    binary("PRELU", "each", q((1, 3, 5, 7), 0.1, -128), slope((3, 5, 7), -128), (0.1, -128)),
    binary("PRELU", "all", q((1, 3, 5, 7), 0.1, 127), slope((1, 1, 1), 127), (0.05, 127)),
    binary("PRELU", "saturates", q((1, 63), 0.5, 0), slope((63,)), (0.01, 0)),
]
