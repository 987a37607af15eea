"""LOGISTIC, TANH."""

from tests.ops.building import unary

CASES = [
    *(
        unary(f"logistic-{scale}-{zero}", "LOGISTIC", (scale, zero), (1 / 256, -128))
        for scale in (0.003, 0.047, 0.5)
        for zero in (-128, 3, 127)
    ),
    *(
        unary(f"tanh-{scale}-{zero}", "TANH", (scale, zero), (1 / 128, 0))
        for scale in (0.003, 0.047, 0.5)
        for zero in (-128, 3, 127)
    ),
    *(
        unary(f"few-{op.lower()}-{scale}", op, (scale, -5), target, shape=(1, 3, 21))
        for op, target in (("LOGISTIC", (1 / 256, -128)), ("TANH", (1 / 128, 0)))
        for scale in (0.004, 0.06)
    ),
]
