"""The objects that a detector found, and where they are in the image that it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from qedge.processing.image import ImagePreprocess


class Detection(NamedTuple):
    """One object; ``box`` is (top, left, bottom, right), 0 to 1 of the model's input, clipped to it.

    ``points`` are its key points in the model's order, each (y, x, score), not clipped; () where the model has none. Of
    an object that is turned they are its corners, and ``box`` is upright around it. ``mask`` is what it covers, as
    rectangles like ``box`` that do not overlap; () where the model has no masks.

    :func:`in_pixels` turns boxes into pixels of the image they were found in.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float, float], ...] = ()
    mask: tuple[tuple[float, float, float, float], ...] = ()


def in_pixels(
    found: Sequence[Detection], preprocess: ImagePreprocess, height: int, width: int
) -> list[Detection]:
    """Return the objects with boxes and points in pixels of the image that was handed over, boxes clipped to it.

    Args:
        found: what :meth:`Detect.apply` returned.
        preprocess: how the image became the model's input: stretched, cropped or letterboxed.
        height, width: of the image.
    """
    if not found:
        return []
    boxes = preprocess.to_source([d.box for d in found], height, width)
    boxes = np.clip(boxes, 0, [height, width, height, width]).tolist()
    placed = [d._replace(box=(b[0], b[1], b[2], b[3])) for d, b in zip(found, boxes)]
    if any(d.mask for d in found):
        placed = [d._replace(mask=_runs_in_pixels(d.mask, preprocess, height, width)) for d in placed]
    if not found[0].points:
        return placed
    points = np.array([d.points for d in found], np.float64)
    points[..., :2] = preprocess.to_source(points[..., :2], height, width)
    return [d._replace(points=tuple((y, x, s) for y, x, s in p)) for d, p in zip(placed, points.tolist())]


def _runs_in_pixels(mask: Any, preprocess: ImagePreprocess, height: int, width: int) -> tuple[Any, ...]:
    """Return the rectangles of a mask in pixels of the image, without those that lie outside it."""
    if not mask:
        return ()
    runs = np.clip(preprocess.to_source(mask, height, width), 0, [height, width, height, width])
    inside = (runs[:, 2] > runs[:, 0]) & (runs[:, 3] > runs[:, 1])
    return tuple(map(tuple, runs[inside].tolist()))
