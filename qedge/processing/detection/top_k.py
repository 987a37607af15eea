"""Detectors that end with their own choice: a row (left, top, right, bottom, score, class) an object, and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.errors import DataError
from qedge.processing.detection.grids import Candidates, as_shares, pixels_to_corners, rows
from qedge.processing.detection.turned import turned

if TYPE_CHECKING:
    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats

FIRST_PART = 6


def decode(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return the rows of (1, k, 6), boxes in pixels, whose score reaches the threshold.

    Behind the class stand key points (x, y in pixels and how sure), the weights of a mask, or an angle, where the model
    has them; boxes with an angle are (x, y, w, h).
    """
    whole = rows(outputs[spec.boxes])
    wanted = FIRST_PART + 3 * spec.points + spec.masks + spec.turned
    if whole.shape[1] != wanted:
        raise DataError(
            f"top_k: found an output with rows of {whole.shape[1]}, expected {wanted}: box, score, class, parts"
        )
    whole = whole[whole[:, 4] >= spec.threshold]
    if spec.turned:
        boxes = np.concatenate([whole[:, :4], whole[:, FIRST_PART:]], axis=1)
        return turned(spec, boxes, np.rint(whole[:, 5]).astype(np.intp), whole[:, 4])
    marks = whole[:, FIRST_PART : FIRST_PART + 3 * spec.points].reshape(len(whole), spec.points, 3)
    return Candidates(
        pixels_to_corners(whole[:, :4], spec.input_size),
        np.rint(whole[:, 5]).astype(np.intp),
        whole[:, 4],
        as_shares(marks, spec),
        whole[:, FIRST_PART + 3 * spec.points :] if spec.masks else None,
    )
