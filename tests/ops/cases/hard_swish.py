"""HARD_SWISH."""

from itertools import product

from tests.ops.building import unary

SCALES = ((0.047, 0.031), (0.011, 0.2), (0.2, 0.002), (1.0, 1.0), (0.0235, 0.0224))
CASES = [
    unary(f"{a}-{za}-{b}-{zb}", "HARD_SWISH", (a, za), (b, zb))
    for (a, b), za, zb in product(SCALES, (-128, -7, 127), (-128, 127))
]
