"""Non-maximum suppression: of boxes that overlap, the surest stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Shared = Callable[[Floats, Floats], Floats]

BLOCK = 256
"""Boxes that are settled together: their overlaps with each other and with what was kept are one matrix each."""
DENSE = 0.2
"""Share of pairs of one group above which all pairs are worked out, not only those."""


def non_max_suppression(
    boxes: Floats,
    scores: Floats,
    groups: npt.NDArray[Any],
    iou: float,
    limit: int,
    shared: Shared | None = None,
) -> npt.NDArray[np.intp]:
    """Return the indices of the boxes that no surer box of their group overlaps by more than ``iou``.

    The surest first, at most ``limit``; of equal scores the first in order. ``boxes`` are (top, left, bottom, right),
    float (n, 4); or what ``shared`` takes, which returns how far boxes overlap as :func:`overlaps` does.
    """
    shared = shared or overlaps
    order = np.argsort(-scores, kind="stable")
    boxes, groups = boxes[order], groups[order]
    kept = np.zeros(0, np.intp)
    for start in range(0, len(order), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(order)))
        if kept.size:
            hidden = _hides(boxes[kept], groups[kept], boxes[block], groups[block], iou, shared).any(axis=0)
            block = block[~hidden]
        kept = np.concatenate([kept, block[_greedy(boxes[block], groups[block], iou, shared)]])
        if len(kept) >= limit:
            break
    found: npt.NDArray[np.intp] = order[kept[:limit]]
    return found


def _greedy(boxes: Floats, groups: npt.NDArray[Any], iou: float, shared: Shared) -> npt.NDArray[np.bool_]:
    """Return which boxes stay among themselves, the surest first."""
    stays = np.ones(len(boxes), bool)
    hides = np.triu(_hides(boxes, groups, boxes, groups, iou, shared), 1)
    for row in np.flatnonzero(hides.any(axis=1)):
        if stays[row]:
            stays &= ~hides[row]
    return stays


def _hides(
    a: Floats,
    a_groups: npt.NDArray[Any],
    b: Floats,
    b_groups: npt.NDArray[Any],
    iou: float,
    shared: Shared,
) -> npt.NDArray[np.bool_]:
    """Return (n, m): whether box n of ``a`` hides box m of ``b``."""
    same: npt.NDArray[np.bool_] = a_groups[:, None] == b_groups
    if np.count_nonzero(same) > DENSE * same.size:
        return same & (shared(a[:, None], b) > iou)
    row, column = np.nonzero(same)
    same[row, column] = shared(a[row], b[column]) > iou
    return same


def overlaps(a: Floats, b: Floats) -> Floats:
    """Return intersection over union of boxes (..., 4), broadcast against each other; 0 where neither has an area.

    ``overlaps(a[:, None], b)`` is that of every box of ``a`` with every one of ``b``.
    """
    shared: Floats = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    width = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    np.maximum(shared, 0, out=shared)
    shared *= np.maximum(width, 0, out=width)
    union = _area(a) + _area(b) - shared
    np.divide(shared, union, out=shared, where=union > 0)
    return shared


def _area(boxes: Floats) -> Floats:
    height = np.maximum(boxes[..., 2] - boxes[..., 0], 0)
    found: Floats = height * np.maximum(boxes[..., 3] - boxes[..., 1], 0)
    return found
