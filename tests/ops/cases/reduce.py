"""MEAN, SUM, REDUCE_MAX, REDUCE_MIN: any axes, both ends, saturation."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.testing.cases import Case
from tests.ops.building import ints, q


def case(
    op: str,
    shape: Sequence[int],
    axes: Sequence[int],
    keep: bool,
    quantized_in: tuple[float, int] = (0.1, 3),
    quantized_out: tuple[float, int] = (0.1, 3),
) -> Case:
    """Return a case named after its geometry."""
    positive = {a % len(shape) for a in axes}
    out = [1 if d in positive else n for d, n in enumerate(shape) if keep or d not in positive]
    if op in ("REDUCE_MAX", "REDUCE_MIN"):
        quantized_out = quantized_in
    name = f"{op}-{shape}-{axes}-{keep}-{quantized_in}-{quantized_out}"
    return Case(
        name, op, [q(shape, *quantized_in), ints(*axes)], [q(out, *quantized_out)], {"keep_dims": keep}
    )


CASES = [
    one
    for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
    for one in (
        case(op, (1, 5, 7, 3), (1, 2), False),
        case(op, (1, 5, 7, 3), (1, 2), True, (0.1, -128), (0.09 if op == "MEAN" else 2.9, -128)),
        case(op, (1, 5, 7, 3), (2, 1), True, (0.1, 127), (0.1 if op == "MEAN" else 3.1, 127)),
        case(op, (1, 7, 7, 8), (1, 2), False, (0.02, -128), (0.023 if op == "MEAN" else 0.9, -128)),
        case(op, (1, 5, 7, 3), (3,), True),
        case(op, (1, 5, 7, 3), (-1,), False),
        case(op, (1, 5, 7, 3), (1,), False, (0.1, 0), (0.01, 0)),
        case(op, (2, 3, 5, 3), (0, 2), False),
        case(op, (2, 3, 5, 3), (1, 3), True, (0.5, 4), (0.3, -4)),
        case(op, (1, 5, 7, 3), (0, 1, 2, 3), False),
        case(op, (9, 5), (0,), False),
        case(op, (33,), (0,), False, (0.1, 3), (2.0, -100)),
        case(op, (1, 17, 16, 2), (1, 2), False, (0.05, 127), (0.05, -128)),
        case(op, (1, 1, 1, 5), (1, 2), False),
    )
]
