"""LEAKY_RELU."""

from tests.ops.building import unary

CASES = [
    unary(f"{alpha}-{za}-{b}-{zb}", "LEAKY_RELU", (0.1, za), (b, zb), {"alpha": alpha})
    for alpha, za, b, zb in (
        (0.2, 0, 0.1, 0),
        (0.01, -128, 0.05, 127),
        (0.3, 127, 0.03, -128),
        (1.7, 3, 0.2, -5),
    )
]
