"""Columns of one tensor that differ in size: boxes in pixels beside scores from 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

UNLIKE = 10.0  # times: as much as three and a third bits of the scale that both share
MOST_COLUMNS = 256
MOST_IN_VECTOR = 32  # a longer vector is an embedding, whose small values mean nothing by themselves


def groups_of(energy: npt.NDArray[Any]) -> tuple[int, list[npt.NDArray[np.intp]]]:
    """Return the axis whose columns differ most in size, and its columns in groups of like size.

    Sizes are root mean squares. Sorted by size, a new group begins where the next column is :data:`UNLIKE`
    times larger; in a vector also where it is that much larger than the smallest of its group, since a ladder of sizes
    has no gap. Columns that are always 0 join the group of the smallest.

    Args:
        energy: sum of squares of each value over the samples, in the output's shape.

    >>> groups_of(np.array([[1e4, 2e4, 1.0, 1.5]]))[1]
    [array([0, 1]), array([2, 3])]
    >>> groups_of(np.array([[1e6, 1e5, 1e4, 1e3, 1e2]]))[1]
    [array([0]), array([1, 2]), array([3, 4])]
    """
    axes = [k for k, n in enumerate(energy.shape) if 1 < n <= MOST_COLUMNS]
    vector = sum(n > 1 for n in energy.shape) == 1
    if vector:
        axes = [k for k in axes if energy.shape[k] <= MOST_IN_VECTOR]
    best: tuple[int, list[npt.NDArray[np.intp]]] = 0, []
    widest = UNLIKE
    for axis in axes:
        rows = np.moveaxis(energy, axis, 0).reshape(energy.shape[axis], -1)
        sizes = np.sqrt(rows.mean(axis=1))
        alive = sizes[sizes > 0]
        if alive.size and (reach := float(alive.max() / alive.min())) >= widest:
            groups = _split(sizes, ladder=vector)
            if len(groups) > 1:
                best, widest = (axis, groups), reach
    return best


def _split(sizes: npt.NDArray[np.float64], *, ladder: bool) -> list[npt.NDArray[np.intp]]:
    order = np.argsort(sizes, kind="stable")
    ranked = sizes[order]
    starts, smallest = [], 0.0
    for k, size in enumerate(ranked):
        before = ranked[k - 1] if k and not ladder else smallest
        if before > 0 and size >= UNLIKE * before:
            starts.append(k)
            smallest = size
        elif smallest == 0:
            smallest = size
    groups = [np.sort(g) for g in np.split(order, starts)]
    return sorted(groups, key=lambda g: int(g[0]))


def spelled(columns: npt.NDArray[np.intp]) -> str:
    """Return column numbers for a person.

    >>> spelled(np.array([0, 1, 2, 3, 7]))
    '0-3, 7'
    """
    runs = np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1)
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
