"""YOLOX and YuNet: one place a cell, its centre linear, its size exponential; objectness times class score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.processing.detection.anchored import objects
from qedge.processing.detection.grids import (
    Candidates,
    as_shares,
    centres_to_corners,
    grid,
    require_places,
    rows,
    surest,
)

if TYPE_CHECKING:
    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats


def decode(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return the boxes whose objectness times class score reaches the threshold; with ``root`` its square root.

    One output (1, n, 5 + classes), or one of boxes, of objectness and of scores a level. ``decoded``: centres and
    sizes are pixels; else (x, y) are cells from the cell's corner and (w, h) logarithms of cells. Key points are x and
    y alone, likewise, and as sure as their object.
    """
    whole, marks = _whole(spec, outputs)
    likely = objects(whole, spec.score_form == "sigmoid", spec.threshold, spec.root)
    found = surest(likely, spec.candidates)
    places = found.places
    encoded = whole[places]
    centres, sizes = encoded[:, :2], encoded[:, 2:4]
    if not spec.decoded:
        cells, strides = grid(spec.input_size, spec.strides)
        require_places(len(whole), len(cells), spec.form)
        with np.errstate(over="ignore"):
            centres, sizes = (centres + cells[places]) * strides[places], np.exp(sizes) * strides[places]
    corners = centres_to_corners(centres, sizes, spec.input_size)
    if not spec.points:
        return Candidates(corners, found.classes, found.scores)
    spots = marks[places].reshape(len(places), spec.points, 2)
    if not spec.decoded:
        spots = (spots + cells[places][:, None]) * strides[places][:, None]
    sure = np.broadcast_to(found.scores[:, None, None], (*spots.shape[:2], 1))
    return Candidates(
        corners, found.classes, found.scores, as_shares(np.concatenate([spots, sure], axis=2), spec)
    )


def _whole(spec: Detect, outputs: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return (n, 5 + classes) of all levels, and their key points (n, 2 * points)."""
    if not spec.box_outputs:
        whole = rows(outputs[spec.boxes], spec.channel_axis)
        last = whole.shape[1] - 2 * spec.points
        return whole[:, :last], whole[:, last:]
    levels = zip(spec.box_outputs, spec.object_outputs, spec.score_outputs)
    found = np.concatenate(
        [np.concatenate([rows(outputs[k], spec.channel_axis) for k in level], axis=1) for level in levels]
    )
    marks = [rows(outputs[k], spec.channel_axis) for k in spec.point_outputs]
    return found, np.concatenate(marks) if marks else found[:, :0]
