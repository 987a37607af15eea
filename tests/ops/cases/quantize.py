"""QUANTIZE: between int8 and uint8, and from float32."""

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec
from tests.ops.building import q, unary

U8 = (1, 5, 51)
CASES = [
    *(
        unary(f"int8-{a}-{za}-{b}-{zb}", "QUANTIZE", (a, za), (b, zb))
        for a, za, b, zb in (
            (0.1, -128, 0.1, -128),
            (0.1, -128, 0.1, 127),
            (0.1, 127, 0.013, -128),
            (0.003, 5, 0.2, -9),
            (1.5, 0, 0.004, 1),
        )
    ),
    Case("to-uint8-flip", "QUANTIZE", [q(U8, 0.1, -3)], [Spec(U8, "uint8", 0.1, 125)]),
    Case("to-uint8", "QUANTIZE", [q(U8, 0.1, -128)], [Spec(U8, "uint8", 0.07, 255)]),
    Case("from-uint8-flip", "QUANTIZE", [Spec(U8, "uint8", 0.1, 125)], [q(U8, 0.1, -3)]),
    Case("from-uint8", "QUANTIZE", [Spec(U8, "uint8", 0.1, 0)], [q(U8, 0.13, 127)]),
    Case("from-float", "QUANTIZE", [Spec((1, 7, 31), "float32")], [q((1, 7, 31), 0.0173, -128)]),
    Case("from-float-127", "QUANTIZE", [Spec((1, 7, 31), "float32")], [q((1, 7, 31), 0.5, 127)]),
]
