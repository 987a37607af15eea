"""What numbers tell of a detector's decoded boxes: whether they are any, corners or centres, pixels or shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STRIDES = (8, 16, 32, 64, 128)
NEARLY_ALL = 0.999
BEYOND = 0.5
"""How far outside the image boxes may reach, as a share of it."""
ALIKE = 0.9
"""Least correlation of the boxes' centres with the places of a grid."""
SPREAD = 0.1
"""Least standard deviation of the middles of corners, as a share of the image; of an even grid it is 0.29."""
APART = 0.02
"""Least standard deviation of each number of queries' boxes."""
MOST_ANCHORS = 9
LEAST_SIDE = 8
"""Pixels that the largest number of boxes in pixels is at least."""


@dataclass(frozen=True)
class Boxes:
    """How boxes are written: ``corners`` (left, top, right, bottom), else centres and sizes; in pixels or as shares."""

    corners: bool
    pixels: bool

    def __str__(self) -> str:
        how = "corners" if self.corners else "centres and sizes"
        return f"{how}, {'in pixels' if self.pixels else 'as shares of the image'}"


def told_of_boxes(values: Sequence[Array], size: tuple[int, int], queries: bool) -> Boxes | None:
    """Return how the boxes (n, 4) of a few images are written; None where they need not be boxes.

    Corners are told by right and bottom, which lie behind left and top in every row, with middles that go with the grid
    of the places, or all over the image where there are as many places as no usual grid has;
    sizes by none below 0, with centres where the grid of the places is, or, of ``queries``, all within the image.
    Encodings against anchors pass neither, not even those of random weights, which are all nearly the same.

    Args:
        values: one array an image.
        size: (height, width) of the image.
        queries: whether the places may be a transformer's queries, which lie on no grid.
    """
    rows = np.concatenate(values).astype(np.float64)
    if not len(rows) or not np.isfinite(rows).all():
        return None
    largest = float(np.quantile(np.abs(rows), 0.99))
    pixels = largest > LEAST_SIDE
    sides = np.array([size[1], size[0]] * 2 if pixels else [1.0] * 4)
    rows = rows / sides
    forward = np.mean((rows[:, 2] >= rows[:, 0]) & (rows[:, 3] >= rows[:, 1]))
    middles = (rows[:, :2] + rows[:, 2:]) / 2
    if forward >= NEARLY_ALL and _within(middles):
        counted = anchors_of(len(values[0]), size) > 0
        spread = middles.std(axis=0).min() > SPREAD and np.median(rows[:, 2:] - rows[:, :2]) <= 1
        if on_a_grid(middles[: len(values[0])], size) if counted else spread:
            return Boxes(True, pixels)
    if np.mean((rows[:, 2:] >= 0).all(axis=1)) < NEARLY_ALL or not _within(rows[:, :2]):
        return None
    if on_a_grid(values[0][:, :2] / sides[:2], size):
        return Boxes(False, pixels)
    alone = queries and not pixels and not anchors_of(len(values[0]), size)
    apart = rows.std(axis=0).min() > APART and rows.min() >= 0 and rows.max() <= 1
    return Boxes(False, False) if alone and apart else None


def on_a_grid(centres: Array, size: tuple[int, int]) -> bool:
    """Return whether centres (n, 2), x and y as shares, go with the places of a grid of the usual strides."""
    for columns in _grids(len(centres), size):
        alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(centres.T, columns.T) if np.ptp(a) > 0 < np.ptp(b)]
        if len(alike) == 2 and min(alike) > ALIKE:
            return True
    return False


def anchors_of(places: int, size: tuple[int, int]) -> int:
    """Return how many anchors a cell has of a grid of the usual strides with so many places; 0 where none fits."""
    counts = [len(_middles(size, stride)) for stride in STRIDES]
    each = [
        places // whole
        for first in range(len(counts))
        for last in range(first + 2, len(counts) + 1)
        if places % (whole := max(1, sum(counts[first:last]))) == 0 and 1 <= places // whole <= MOST_ANCHORS
    ]
    return min(each, default=0)


def _grids(places: int, size: tuple[int, int]) -> Iterator[Array]:
    """Yield middles (n, 2) of grids with so many places, as shares; anchors of a cell next to each other, or apart."""
    for first in range(len(STRIDES)):
        for last in range(first + 1, len(STRIDES) + 1):
            levels = [_middles(size, stride) for stride in STRIDES[first:last]]
            each, rest = divmod(places, max(1, sum(map(len, levels))))
            if rest or not 1 <= each <= MOST_ANCHORS:
                continue
            yield np.concatenate([np.repeat(level, each, axis=0) for level in levels])
            if each > 1:
                yield np.concatenate([np.tile(level, (each, 1)) for level in levels])


def _middles(size: tuple[int, int], stride: int) -> Array:
    y, x = np.mgrid[: -(-size[0] // stride), : -(-size[1] // stride)]
    cells = np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5
    shares: Array = cells * stride / np.array([size[1], size[0]])
    return shares


def _within(shares: Array) -> bool:
    """Return whether nearly all numbers lie in the image or close to it."""
    return bool(np.mean(((shares >= -BEYOND) & (shares <= 1 + BEYOND)).all(axis=1)) >= 0.99)


def are_probabilities(values: Sequence[Array]) -> bool:
    """Return whether all numbers are from 0 to 1."""
    return all(bool((v >= 0).all() and (v <= 1).all()) for v in values)


def are_alike(values: Sequence[Array]) -> bool:
    """Return whether the columns may all be scores: each from 0 to 1, or each beyond, as logits are.

    Where some are and some are not, one is an angle, or key points stand among them.
    """
    columns = np.concatenate(values)
    inside = (columns >= 0).all(axis=0) & (columns <= 1).all(axis=0)
    return bool(inside.all()) or not bool(inside.any())


def add_up(values: Sequence[Array]) -> bool:
    """Return whether each row of several is one distribution: its numbers add up to 1."""
    return all(v.shape[-1] > 1 and bool(np.allclose(v.sum(axis=-1), 1, atol=1e-3)) for v in values)
