"""MIRROR_PAD, TILE."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.testing.cases import Case
from tests.ops.building import ints, q


def mirror(shape: Sequence[int], pads: Sequence[Sequence[int]], mode: str, zero: int = 3) -> Case:
    """Return a case of MIRROR_PAD."""
    out = [n + sum(p) for n, p in zip(shape, pads)]
    return Case(
        f"{mode}-{shape}-{pads}",
        "MIRROR_PAD",
        [q(shape, 0.1, zero), ints(*pads)],
        [q(out, 0.1, zero)],
        {"mode": mode},
    )


def tile(shape: Sequence[int], multiples: Sequence[int]) -> Case:
    """Return a case of TILE."""
    out = [n * m for n, m in zip(shape, multiples)]
    return Case(f"tile-{shape}-{multiples}", "TILE", [q(shape), ints(*multiples)], [q(out)])


PADS = ((0, 0), (1, 2), (2, 1), (0, 0))
CASES = [
    mirror((1, 4, 5, 3), PADS, "REFLECT", -128),
    mirror((1, 4, 5, 3), PADS, "SYMMETRIC", 127),
    mirror((3, 4), ((2, 0), (0, 3)), "REFLECT"),
    mirror((3, 4), ((3, 3), (4, 4)), "SYMMETRIC"),
    mirror((2, 3, 4, 5), ((1, 0), (0, 2), (1, 1), (0, 4)), "REFLECT"),
    mirror((5,), ((2, 2),), "REFLECT"),
    tile((1, 4, 3), (1, 2, 1)),
    tile((1, 3, 1, 5), (1, 1, 2, 1)),
    tile((2, 3), (3, 2)),
    tile((4,), (5,)),
]
