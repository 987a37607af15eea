"""SUB: broadcasting, scales far apart, fused activations."""

from qedge.testing.opmodels import constant
from tests.ops.building import binary, q, random_int8

CASES = [
    binary("SUB", "same", q((1, 3, 5, 7)), q((1, 3, 5, 7), 0.2, -5)),
    binary("SUB", "ends", q((1, 63), 0.1, -128), q((1, 63), 0.1, 127), (0.2, -128)),
    binary("SUB", "other-ends", q((1, 63), 0.1, 127), q((1, 63), 0.03, -128), (0.05, 127)),
    binary("SUB", "saturates", q((1, 63), 0.5, 0), q((1, 63), 0.5, 0), (0.01, 0)),
    binary("SUB", "fine-and-coarse", q((1, 63), 0.001, 9), q((1, 63), 3.0, -9), (3.1, 7)),
    binary("SUB", "relu", q((1, 3, 7)), q((1, 3, 7)), (0.2, -5), {"fused_activation_function": "RELU"}),
    binary("SUB", "relu6", q((1, 3, 7)), q((1, 3, 7)), (0.1, 5), {"fused_activation_function": "RELU6"}),
    binary("SUB", "channel", q((1, 3, 5, 7)), constant(random_int8("c", (7,)), "int8", 0.05, 3)),
    binary("SUB", "from-scalar", constant(random_int8("s", ()), "int8", 0.05, 3), q((1, 3, 5, 7))),
    binary("SUB", "row-and-column", q((1, 5, 1, 7)), q((1, 1, 3, 7))),
    binary("SUB", "middle", q((2, 1, 3, 1)), q((1, 5, 1, 4))),
]
