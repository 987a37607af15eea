"""BATCH_MATMUL: either side transposed or constant, batches that broadcast."""

from __future__ import annotations

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import constant
from tests.ops.building import q, random_int8


def case(
    name: str,
    a: tuple[int, ...],
    b: tuple[int, ...],
    *,
    adj_x: bool = False,
    adj_y: bool = False,
    zeros: tuple[int, int, int] = (3, -5, 7),
    scale_out: float = 0.2,
    fixed: bool = False,
) -> Case:
    """Return a case; shapes are those stored, ``fixed`` makes the right side a constant."""
    rows, columns = a[-1 if adj_x else -2], b[-2 if adj_y else -1]
    out = (*np.broadcast_shapes(a[:-2], b[:-2]), rows, columns)
    right = q(b, 0.04, zeros[1])
    if fixed:
        right = constant(random_int8(name, b), "int8", 0.04, zeros[1])
    options = {"adj_x": adj_x, "adj_y": adj_y}
    return Case(name, "BATCH_MATMUL", [q(a, 0.05, zeros[0]), right], [q(out, scale_out, zeros[2])], options)


CASES = [
    case("plain", (1, 3, 5), (1, 5, 7)),
    case("rank-2", (3, 5), (5, 7), zeros=(-128, 127, 127), scale_out=0.6),
    case("adj-y", (1, 3, 5), (1, 7, 5), adj_y=True, zeros=(127, -128, 127), scale_out=0.6),
    case("adj-x", (1, 5, 3), (1, 5, 7), adj_x=True, zeros=(0, 0, 127)),
    case("adj-both", (2, 5, 3), (2, 7, 5), adj_x=True, adj_y=True),
    case("heads", (1, 4, 9, 8), (1, 4, 9, 8), adj_y=True),
    case("batches", (2, 3, 4, 5), (2, 3, 5, 6)),
    case("broadcast", (2, 3, 4, 5), (2, 1, 5, 6)),
    case("broadcast-left", (1, 4, 5), (3, 5, 6)),
    case("constant", (1, 3, 8), (1, 8, 5), fixed=True),
    case("constant-adj-y", (1, 3, 8), (1, 5, 8), adj_y=True, fixed=True),
    case("saturates", (1, 3, 16), (1, 16, 5), scale_out=0.001),
    case("vector", (1, 1, 5), (1, 5, 1)),
]
