"""YOLOv3 to v5 and v7: centres and sizes relative to a cell and an anchor, objectness times class score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.errors import DataError
from qedge.processing.classify import sigmoid
from qedge.processing.detection.grids import (
    Candidates,
    Likely,
    anchor_grid,
    centres_to_corners,
    grid,
    least_logit,
    require_places,
    rows,
    surest,
)

if TYPE_CHECKING:
    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats, Places

FIRST_CLASS = 5  # after x, y, w, h and objectness


def decode(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return the boxes whose objectness times class score reaches the threshold.

    ``decoded``: one output (1, n, 5 + classes), centres and sizes in pixels, scores as ``score_form`` says. Else the
    levels of ``box_outputs``, each (1, h, w, anchors * (5 + classes)) of logits or (1, anchors, h, w, 5 + classes).
    """
    if spec.decoded:
        whole = rows(outputs[spec.boxes], spec.channel_axis)
        found = surest(objects(whole, spec.score_form == "sigmoid", spec.threshold), spec.candidates)
        encoded = whole[found.places]
        corners = centres_to_corners(encoded[:, :2], encoded[:, 2:4], spec.input_size)
        return Candidates(corners, found.classes, found.scores)
    count = len(spec.anchor_sizes) // 2 // len(spec.strides)
    whole = np.concatenate([_level(outputs[k], count) for k in spec.box_outputs])
    cells, strides, anchors = anchor_grid(spec.input_size, spec.strides, spec.anchor_sizes)
    require_places(len(whole), len(cells), spec.form)
    found = surest(objects(whole, True, spec.threshold), spec.candidates)
    places = found.places
    reach = _reach(spec, places)
    centres = (
        reach * (sigmoid(whole[places, :2]) - np.float32(0.5)) + np.float32(0.5) + cells[places]
    ) * strides[places]
    with np.errstate(over="ignore"):
        numbers = whole[places, 2:4]
        sizes = (np.exp(numbers) if spec.exponential else (2 * sigmoid(numbers)) ** 2) * anchors[places]
    corners = centres_to_corners(centres, sizes, spec.input_size)
    return Candidates(corners, found.classes, found.scores)


def _reach(spec: Detect, places: Places) -> Floats:
    """Return how many cells the centre of each place may move over: float32 (n, 1)."""
    scales = spec.centre_scales or (2.0,) * len(spec.strides)
    each = len(spec.anchor_sizes) // 2 // len(spec.strides)
    counts = [each * len(grid(spec.input_size, (stride,))[0]) for stride in spec.strides]
    found: Floats = np.repeat(np.array(scales, np.float32), counts)[places, None]
    return found


def objects(whole: Floats, logits: bool, threshold: float, root: bool = False) -> Likely:
    """Return the places (n, 5 + classes) whose objectness times best class score (``root``: its root) is enough."""
    least = threshold**2 if root else threshold
    places = np.flatnonzero(whole[:, 4] >= (least_logit(least) if logits else least))
    picked = whole[places, 4:]
    if logits:
        picked = sigmoid(picked)
    objectness, scores = picked[:, 0], picked[:, 1:]
    if scores.shape[1] == 0:  # a detector of one thing may leave its class out
        return Likely(places, np.zeros(len(places), np.intp), objectness)
    classes = scores.argmax(axis=1)
    confidence = scores[np.arange(len(scores)), classes] * objectness
    confidence = np.sqrt(confidence) if root else confidence
    sure = np.flatnonzero(confidence >= threshold)
    return Likely(places[sure], classes[sure], confidence[sure])


def _level(output: Floats, anchors: int) -> Floats:
    """Return a level as (h * w * anchors, 5 + classes), whose anchors lie next to each other."""
    values = np.asarray(output, np.float32)
    if values.ndim == 5:
        values = np.moveaxis(values[0], 0, 2)
    elif values.ndim == 4 and values.shape[-1] % anchors == 0:
        values = values[0].reshape(*values.shape[1:3], anchors, -1)
    else:
        raise DataError(
            f"found an output of shape {list(values.shape)}, expected [1, h, w, {anchors} * (5 + classes)]",
            hint=f"anchor_sizes and strides make {anchors} anchors a cell",
        )
    return values.reshape(-1, values.shape[-1])
