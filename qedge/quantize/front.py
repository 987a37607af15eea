"""Choices of layers by what they cost together: what no other choice beats in every figure.

Each layer is taken or left. Its noise and most figures add up over the layers taken; a peak is that of the layer that
takes most. So the choices can be built up layer by layer, and those that another beats in every figure dropped on the
way (a dynamic programme over a Pareto front). Too many of them are thinned evenly by the first figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST = 600
"""Choices that are kept from one layer to the next."""
Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """Layers by their position, and what is expected of them together.

    Args:
        noise: that they add.
        figures: that they add, in the order of the caller's.
    """

    layers: tuple[int, ...]
    noise: float
    figures: tuple[float, ...]


def choices(noise: Sequence[float], figures: Rows, peaks: Sequence[bool]) -> list[Choice]:
    """Return the choices that no other beats in noise and in every figure, least noise first.

    Args:
        noise: that each layer adds.
        figures: (layers, figures) that each adds, negative where it saves.
        peaks: whether a figure of several layers is the largest of them, and not their sum.
    """
    peak = np.asarray(peaks, bool)
    taken = np.zeros((1, len(noise)), bool)
    rows = np.zeros((1, 1 + figures.shape[1]))
    for k, more in enumerate(noise):
        added = rows.copy()
        added[:, 0] += more
        added[:, 1:] = np.where(peak, np.maximum(rows[:, 1:], figures[k]), rows[:, 1:] + figures[k])
        with_layer = taken.copy()
        with_layer[:, k] = True
        rows, taken = np.concatenate([rows, added]), np.concatenate([taken, with_layer])
        kept = _thin(rows, unbeaten(rows))
        rows, taken = rows[kept], taken[kept]
    order = np.argsort(rows[:, 0], kind="stable")
    return [
        Choice(tuple(np.flatnonzero(taken[i]).tolist()), float(rows[i, 0]), tuple(rows[i, 1:].tolist()))
        for i in order
    ]


def unbeaten(rows: Rows) -> npt.NDArray[np.intp]:
    """Return the positions of rows that no other is at most in every column; of equal ones the first."""
    order = np.lexsort(rows.T[::-1])
    kept: list[int] = []
    front = np.empty((0, rows.shape[1]))
    for i in order:
        if not len(front) or not bool((front <= rows[i]).all(axis=1).any()):
            kept.append(int(i))
            front = np.concatenate([front, rows[i : i + 1]])
    return np.array(kept, np.intp)


def _thin(rows: Rows, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    if len(kept) <= MOST:
        return kept
    by_figure = kept[np.argsort(rows[kept, 1], kind="stable")]
    return by_figure[np.unique(np.linspace(0, len(by_figure) - 1, MOST).round().astype(np.intp))]
