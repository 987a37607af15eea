"""Boxes that are turned: their corners, and how far two of them cover each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qedge.processing.detection.grids import Candidates, as_shares, pixels_to_corners

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats, Places

    Doubles = npt.NDArray[np.float64]

TINY = 1e-7


def turned(spec: Detect, boxes: Floats, classes: Places, scores: Floats) -> Candidates:
    """Return boxes (x, y, w, h, angle) in pixels with upright ones around them, and their corners as points."""
    corners = corners_of(boxes)
    around = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    sure = np.broadcast_to(scores[:, None, None], (*corners.shape[:2], 1))
    marks = as_shares(np.concatenate([corners, sure], axis=2), spec)
    return Candidates(pixels_to_corners(around, spec.input_size), classes, scores, marks, None, boxes)


def corners_of(boxes: Floats) -> Floats:
    """Return the corners (x, y) of boxes (x, y, w, h, angle), one after the other around it: float32 (n, 4, 2)."""
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along = np.stack([cos, sin], axis=1) * boxes[:, 2:3] / 2
    across = np.stack([-sin, cos], axis=1) * boxes[:, 3:4] / 2
    middle = boxes[:, :2]
    corners = [
        middle + along + across,
        middle + along - across,
        middle - along - across,
        middle - along + across,
    ]
    return np.stack(corners, axis=1).astype(np.float32)


def alike(a: Floats, b: Floats) -> Floats:
    """Return how alike boxes (..., 5) are as normal distributions, 0 to 1, broadcast against each other.

    Source: arXiv 2106.06072, which Ultralytics suppresses turned boxes by.
    """
    (wide, high, both), (wide2, high2, both2) = (_spread(boxes.astype(np.float64)) for boxes in (a, b))
    x, y = a[..., 0] - b[..., 0], a[..., 1] - b[..., 1]
    wide, high, both, first, second = (
        wide + wide2, high + high2, both + both2, wide * high - both**2, wide2 * high2 - both2**2,
    )  # fmt: skip
    area = wide * high - both**2
    apart = (wide * y**2 + high * x**2) / (area + TINY) / 4 - both * x * y / (area + TINY) / 2
    scale = 4 * np.sqrt(np.maximum(first, 0) * np.maximum(second, 0)) + TINY
    distance = np.clip(apart + np.log(area / scale + TINY) / 2, TINY, 100)
    found: Floats = (1 - np.sqrt(1 - np.exp(-distance) + TINY)).astype(np.float32)
    return found


def _spread(boxes: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Return the variances along x and y, and the covariance, of boxes as normal distributions."""
    along, across = boxes[..., 2] ** 2 / 12, boxes[..., 3] ** 2 / 12
    cos, sin = np.cos(boxes[..., 4]), np.sin(boxes[..., 4])
    return along * cos**2 + across * sin**2, along * sin**2 + across * cos**2, (along - across) * cos * sin
