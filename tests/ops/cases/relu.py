"""RELU, RELU6."""

from tests.ops.building import unary

CASES = [
    *(
        unary(f"relu-{a}-{za}-{b}-{zb}", "RELU", (a, za), (b, zb))
        for a, za, b, zb in (
            (0.1, 0, 0.05, -128),
            (0.1, -128, 0.1, -128),
            (0.1, 127, 0.3, 127),
            (0.02, -3, 0.02, -3),
            (0.9, 5, 0.001, -10),
        )
    ),
    *(
        unary(f"relu6-{a}-{za}", "RELU6", (a, za), (a, za))
        for a, za in ((0.1, 0), (0.0235, -128), (0.047, -1), (0.03, 127), (0.5, 5))
    ),
]
