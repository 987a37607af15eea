"""DEQUANTIZE."""

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec
from tests.ops.building import q

SHAPE = (1, 5, 51)
CASES = [
    *(
        Case(f"int8-{scale}-{zero}", "DEQUANTIZE", [q(SHAPE, scale, zero)], [Spec(SHAPE, "float32")])
        for scale, zero in ((0.1, -128), (0.0037, 127), (1.7, 3))
    ),
    Case("uint8", "DEQUANTIZE", [Spec(SHAPE, "uint8", 0.1, 255)], [Spec(SHAPE, "float32")]),
    Case("int16", "DEQUANTIZE", [Spec(SHAPE, "int16", 0.001, 0)], [Spec(SHAPE, "float32")]),
]
