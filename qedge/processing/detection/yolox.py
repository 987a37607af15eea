"""YOLOX: one place a cell, whose centre is linear and whose size is exponential; objectness times class score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.processing.detection.anchored import objects
from qedge.processing.detection.grids import (
    Candidates,
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
    """Return the boxes whose objectness times class score reaches the threshold.

    One output (1, n, 5 + classes), or one of boxes, of objectness and of scores a level. ``decoded``: centres and
    sizes are pixels; else (x, y) are cells from the cell's corner and (w, h) logarithms of cells.
    """
    whole = _whole(spec, outputs)
    found = surest(objects(whole, spec.score_form == "sigmoid", spec.threshold), spec.candidates)
    places = found.places
    encoded = whole[places]
    centres, sizes = encoded[:, :2], encoded[:, 2:4]
    if not spec.decoded:
        cells, strides = grid(spec.input_size, spec.strides)
        require_places(len(whole), len(cells), spec.form)
        with np.errstate(over="ignore"):
            centres, sizes = (centres + cells[places]) * strides[places], np.exp(sizes) * strides[places]
    return Candidates(centres_to_corners(centres, sizes, spec.input_size), found.classes, found.scores)


def _whole(spec: Detect, outputs: Sequence[Floats]) -> Floats:
    """Return (n, 5 + classes) of all levels."""
    if not spec.box_outputs:
        return rows(outputs[spec.boxes], spec.channel_axis)
    levels = zip(spec.box_outputs, spec.object_outputs, spec.score_outputs)
    return np.concatenate(
        [np.concatenate([rows(outputs[k], spec.channel_axis) for k in level], axis=1) for level in levels]
    )
