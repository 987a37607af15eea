"""SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.testing.cases import Case
from tests.ops.building import ints, q


def spread(shape: Sequence[int], block: Sequence[int], pads: Sequence[Sequence[int]], zero: int = 3) -> Case:
    """Return a case of SPACE_TO_BATCH_ND."""
    inner = [(n + sum(p)) // b for n, b, p in zip(shape[1:], block, pads)]
    count = shape[0]
    for b in block:
        count *= b
    out = (count, *inner, *shape[1 + len(block) :])
    inputs = [q(shape, 0.1, zero), ints(*block), ints(*pads)]
    return Case(f"spread-{shape}-{block}-{pads}", "SPACE_TO_BATCH_ND", inputs, [q(out, 0.1, zero)])


def join(shape: Sequence[int], block: Sequence[int], crops: Sequence[Sequence[int]], zero: int = 3) -> Case:
    """Return a case of BATCH_TO_SPACE_ND."""
    inner = [n * b - sum(c) for n, b, c in zip(shape[1:], block, crops)]
    count = shape[0]
    for b in block:
        count //= b
    out = (count, *inner, *shape[1 + len(block) :])
    return Case(
        f"join-{shape}-{block}-{crops}",
        "BATCH_TO_SPACE_ND",
        [q(shape, 0.1, zero), ints(*block), ints(*crops)],
        [q(out, 0.1, zero)],
    )


NONE = ((0, 0), (0, 0))
CASES = [
    spread((1, 4, 6, 3), (2, 2), NONE),
    spread((1, 5, 6, 2), (3, 2), ((1, 0), (1, 1)), -128),
    spread((2, 4, 4, 1), (2, 4), ((0, 0), (2, 2)), 127),
    spread((1, 7, 5), (2,), ((0, 1),)),
    join((4, 2, 3, 3), (2, 2), NONE, -128),
    join((6, 2, 4, 2), (3, 2), ((1, 0), (1, 1)), 127),
    join((4, 3, 2, 2), (2, 1), ((0, 1), (0, 0))),
    join((2, 4, 5), (2,), ((1, 0),)),
]
