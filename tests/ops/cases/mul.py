"""MUL: broadcasting, both ends of the range, fused activations."""

from qedge.testing.opmodels import constant
from tests.ops.building import binary, q, random_int8

CASES = [
    binary("MUL", "same", q((1, 3, 5, 7)), q((1, 3, 5, 7), 0.2, -5), (0.9, 0)),
    binary("MUL", "ends", q((1, 63), 0.1, -128), q((1, 63), 0.1, 127), (2.6, 127)),
    binary("MUL", "other-ends", q((1, 63), 0.1, 127), q((1, 63), 0.03, -128), (0.05, 127)),
    binary("MUL", "saturates", q((1, 63), 0.5, 0), q((1, 63), 0.5, 0), (0.01, 0)),
    binary("MUL", "scales-up", q((1, 63), 2.0, 0), q((1, 63), 2.0, 0), (0.5, -4)),
    binary("MUL", "relu", q((1, 3, 7)), q((1, 3, 7)), (0.2, -5), {"fused_activation_function": "RELU"}),
    binary("MUL", "relu6", q((1, 3, 7)), q((1, 3, 7)), (0.1, 5), {"fused_activation_function": "RELU6"}),
    binary("MUL", "squeeze-excite", q((1, 5, 5, 7)), q((1, 1, 1, 7), 1 / 256, -128)),
    binary("MUL", "channel", q((1, 3, 5, 7)), constant(random_int8("c", (7,)), "int8", 0.05, 3), (0.5, 0)),
    binary("MUL", "by-scalar", q((1, 3, 5, 7)), constant(random_int8("s", ()), "int8", 0.05, 3), (0.5, 0)),
    binary("MUL", "row-and-column", q((1, 5, 1, 7)), q((1, 1, 3, 7)), (0.5, 1)),
    binary("MUL", "rank-2-and-4", q((3, 7)), q((1, 2, 1, 7)), (0.5, 1)),
]
