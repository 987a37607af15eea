"""RSQRT: TFLite Micro stops at a value below the zero point, so none is an input."""

from tests.ops.building import unary

CASES = [
    unary(f"{a}-{za}-{b}-{zb}", "RSQRT", (a, za), (b, zb), limits=(za, 127))
    for a, za, b, zb in (
        (0.1, -128, 0.01, -128),
        (0.003, -100, 0.2, 0),
        (1.5, 0, 0.004, 127),
        (0.02, 127, 0.1, -128),
    )
]
