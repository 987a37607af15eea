"""ADD: broadcasting, scales far apart, fused activations."""

from qedge.testing.opmodels import constant
from tests.ops.building import binary, q, random_int8

CASES = [
    binary("ADD", "same", q((1, 3, 5, 8)), q((1, 3, 5, 8), 0.2, -5)),
    binary("ADD", "odd", q((1, 3, 5, 7)), q((1, 3, 5, 7), 0.2, -5)),
    binary("ADD", "ends", q((1, 63), 0.1, -128), q((1, 63), 0.1, 127), (0.2, -128)),
    binary("ADD", "other-ends", q((1, 63), 0.1, 127), q((1, 63), 0.03, -128), (0.05, 127)),
    binary("ADD", "saturates", q((1, 63), 0.5, 0), q((1, 63), 0.5, 0), (0.01, 0)),
    binary("ADD", "fine-and-coarse", q((1, 63), 0.001, 9), q((1, 63), 3.0, -9), (3.1, 7)),
    binary("ADD", "relu", q((1, 3, 7)), q((1, 3, 7)), (0.2, -5), {"fused_activation_function": "RELU"}),
    binary("ADD", "relu6", q((1, 3, 7)), q((1, 3, 7)), (0.1, 5), {"fused_activation_function": "RELU6"}),
    binary("ADD", "channel", q((1, 3, 5, 7)), constant(random_int8("c", (7,)), "int8", 0.05, 3)),
    binary("ADD", "scalar", q((1, 3, 5, 7)), constant(random_int8("s", ()), "int8", 0.05, 3)),
    binary("ADD", "row-and-column", q((1, 5, 1, 7)), q((1, 1, 3, 7))),
]
