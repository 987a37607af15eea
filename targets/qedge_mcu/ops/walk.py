"""Turns layouts into the steps that ``kernels/include/qe_walk.h`` follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qedge_mcu.ops.base import ConstArray

RANK = 6
"""Dimensions that a walk can have once neighbours are merged: ``QE_WALK_RANK``."""

Level = tuple[int, int, int]


def strides(shape: Sequence[int]) -> list[int]:
    """Return the row-major strides of a shape, in elements.

    >>> strides((2, 3, 4))
    [12, 4, 1]
    """
    found = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        found[i] = found[i + 1] * shape[i + 1]
    return found


def merge(sizes: Sequence[int], a: Sequence[int], b: Sequence[int]) -> list[Level]:
    """Return (size, stride in a, stride in b) of each loop that is needed, outermost first; at least one.

    Dimensions of size 1 vanish, and neighbours that are contiguous in both arrays become one.

    >>> merge((2, 3, 4), (12, 4, 1), (12, 4, 1))
    [(24, 1, 1)]
    """
    levels: list[Level] = []
    for level in zip(sizes, a, b):
        if level[0] == 1:
            continue
        if levels:
            size, outer_a, outer_b = levels[-1]
            if outer_a == level[0] * level[1] and outer_b == level[0] * level[2]:
                levels[-1] = (size * level[0], level[1], level[2])
                continue
        levels.append(level)
    return levels or [(1, 1, 1)]


def steps(levels: Sequence[Level]) -> npt.NDArray[np.int32]:
    """Return what a walk adds after each round, innermost first: shape (3 * levels,).

    >>> steps([(2, 12, 3), (3, 1, 6)]).tolist()
    [3, 1, 6, 2, 9, -15]
    """
    found: list[int] = []
    inner: Level = (0, 0, 0)
    for size, a, b in reversed(levels):
        found += [size, a - inner[0] * inner[1], b - inner[0] * inner[2]]
        inner = (size, a, b)
    return np.array(found, np.int32)


def broadcast_strides(shape: Sequence[int], out: Sequence[int]) -> list[int]:
    """Return the strides with which an operand of ``shape`` is read along ``out``: 0 where it repeats.

    >>> broadcast_strides((3, 1), (2, 3, 4))
    [0, 1, 0]
    """
    aligned = (1,) * (len(out) - len(shape)) + tuple(shape)
    return [0 if size == 1 else step for size, step in zip(aligned, strides(aligned))]


def steps_array(levels: Sequence[Level]) -> ConstArray:
    """Return the steps as an operator's constant ``steps``."""
    return ConstArray("steps", steps(levels))
