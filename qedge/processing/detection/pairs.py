"""Boxes and scores that a model decodes itself: transformers' queries (DETR), or any other decoding left in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.processing.classify import softmax
from qedge.processing.detection.grids import (
    Candidates,
    centres_to_corners,
    likely,
    pixels_to_corners,
    require_places,
    rows,
    surest,
)

if TYPE_CHECKING:
    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats

SIDES = 4


def decode(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return the boxes whose score reaches the threshold.

    ``boxes`` (1, n, 4) and ``scores_output`` (1, n, classes), or both in one output (1, n, 4 + classes). Boxes are
    centres and sizes, or with ``corners`` (left, top, right, bottom), in units of ``input_size``: (1, 1) for shares of
    the image. Without ``suppress`` every class of a place that reaches the threshold counts, as DETR's successors do.
    """
    boxes, scores = _apart(spec, outputs)
    require_places(len(boxes), len(scores), spec.form)
    if spec.score_form == "softmax":
        scores = softmax(scores)
    scores = scores[:, int(spec.background) : scores.shape[1] - int(spec.last_is_none)]
    once = None if spec.suppress else spec.limit
    found = surest(likely(scores, spec.score_form == "sigmoid", spec.threshold, once), spec.candidates)
    chosen = boxes[found.places]
    if spec.corners:
        return Candidates(pixels_to_corners(chosen, spec.input_size), found.classes, found.scores)
    corners = centres_to_corners(chosen[:, :2], chosen[:, 2:], spec.input_size)
    return Candidates(corners, found.classes, found.scores)


def _apart(spec: Detect, outputs: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return boxes (n, 4) and scores (n, classes)."""
    boxes = rows(outputs[spec.boxes], spec.channel_axis)
    if spec.boxes == spec.scores_output:
        return boxes[:, :SIDES], np.ascontiguousarray(boxes[:, SIDES:])
    scores = rows(outputs[spec.scores_output], spec.channel_axis)
    return boxes, scores.reshape(-1, 1) if scores.size == len(boxes) else scores
