"""CAST."""

from __future__ import annotations

import itertools

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec

KINDS = ("int8", "int16", "int32")
CASES = [
    *(
        Case(f"{a}-{b}", "CAST", [Spec((3, 40), a, 0.1 if a == "int8" else None, zero)], [Spec((3, 40), b)])
        for (a, b), zero in zip(itertools.product(KINDS, KINDS), itertools.cycle((-128, 127)))
    ),
    *(Case(f"{a}-float", "CAST", [Spec((3, 40), a)], [Spec((3, 40), "float32")]) for a in (*KINDS, "bool")),
    *(Case(f"uint8-{b}", "CAST", [Spec((3, 40), "uint8")], [Spec((3, 40), b)]) for b in (*KINDS, "float32")),
    Case("bool-int8", "CAST", [Spec((3, 40), "bool")], [Spec((3, 40), "int8", 0.1, 127)]),
    Case("bool-int32", "CAST", [Spec((3, 40), "bool")], [Spec((3, 40), "int32")]),
    Case("float-int32", "CAST", [Spec((3, 40), "float32")], [Spec((3, 40), "int32")]),
]
