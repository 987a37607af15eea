"""Detectors that end with their own choice: a row (left, top, right, bottom, score, class) an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.errors import DataError
from qedge.processing.detection.grids import Candidates, pixels_to_corners, rows

if TYPE_CHECKING:
    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats


def decode(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return the rows of (1, k, 6), boxes in pixels, whose score reaches the threshold."""
    whole = rows(outputs[spec.boxes])
    if whole.shape[1] != 6:
        raise DataError(f"top_k: found an output with rows of {whole.shape[1]}, expected (box, score, class)")
    whole = whole[whole[:, 4] >= spec.threshold]
    return Candidates(
        pixels_to_corners(whole[:, :4], spec.input_size), np.rint(whole[:, 5]).astype(np.intp), whole[:, 4]
    )
