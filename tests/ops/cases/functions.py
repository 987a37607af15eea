"""Functions of one value; for those without an int8 kernel the oracle looks up the same table."""

from tests.ops.building import unary

CASES = [
    *(
        unary(f"ABS-{a}-{za}-{b}-{zb}", "ABS", (a, za), (b, zb))
        for a, za, b, zb in (
            (0.1, 0, 0.1, 0),
            (0.1, -128, 0.1, -128),
            (0.1, 5, 0.07, 127),
            (0.02, 127, 0.3, -9),
        )
    ),
    *(
        unary(f"ELU-{a}-{za}-{b}-{zb}", "ELU", (a, za), (b, zb))
        for a, za, b, zb in ((0.1, 0, 0.1, 0), (0.05, -128, 0.03, 127), (0.01, 127, 0.008, -128))
    ),
    *(
        unary(f"{op}-{zero}", op, (0.03, zero), (0.02, -zero - 1))
        for op, zero in (
            ("CEIL", -128),
            ("COS", 127),
            ("EXP", 5),
            ("FLOOR", 0),
            ("GELU", -7),
            ("LOG", -128),
            ("NEG", 3),
            ("ROUND", 9),
            ("SIN", -1),
            ("SQRT", -128),
            ("SQUARE", 4),
        )
    ),
]
