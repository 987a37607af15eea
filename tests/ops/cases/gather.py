"""GATHER, GATHER_ND, EMBEDDING_LOOKUP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant
from tests.ops.building import ints, q, random_int8


def gather(
    name: str, shape: Sequence[int], positions: Any, axis: int, batch_dims: int = 0, zero: int = 3
) -> Case:
    """Return a case of GATHER with constant positions."""
    indices = constant(positions)
    out = (*shape[:axis], *indices.shape[batch_dims:], *shape[axis + 1 :])
    return Case(
        name,
        "GATHER",
        [q(shape, 0.1, zero), indices],
        [q(out, 0.1, zero)],
        {"axis": axis, "batch_dims": batch_dims},
    )


CASES = [
    gather("rows", (5, 3), [4, 0, 2, 2], 0, zero=-128),
    gather("columns", (2, 5, 3), [1, 4], 1, zero=127),
    gather("last", (2, 3, 7), [6, 0, 3], 2),
    gather("two-dimensions", (4, 6), [[0, 3], [2, 1]], 0),
    gather("batches", (2, 5, 3), [[0, 4], [1, 2]], 1, 1),
    gather("batches-and-outer", (2, 3, 5), [[0, 4], [1, 2]], 2, 1),
    Case("floats", "GATHER", [Spec((4, 3), "float32"), ints(3, 1)], [Spec((2, 3), "float32")], {"axis": 0}),
    Case(
        "table",
        "GATHER",
        [constant(random_int8("table", (256,)), "int8", 0.1, 3), ints(7, 255, 0)],
        [q((3,))],
        {"axis": 0},
    ),
    Case("nd", "GATHER_ND", [q((3, 4, 5)), ints([0, 1], [2, 3])], [q((2, 5))]),
    Case("nd-values", "GATHER_ND", [q((3, 4)), ints([0, 1], [2, 3], [1, 0])], [q((3,))]),
    Case("nd-rows", "GATHER_ND", [q((3, 4)), ints([2], [0])], [q((2, 4))]),
    Case(
        "embedding",
        "EMBEDDING_LOOKUP",
        [ints(1, 3, 0), constant(random_int8("e", (4, 6)), "int8", 0.1)],
        [q((3, 6), 0.1, 0)],
    ),
]
