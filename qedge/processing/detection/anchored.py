"""YOLOv2 to v5 and v7: centres and sizes relative to a cell and an anchor, objectness times class score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.errors import DataError
from qedge.processing.classify import sigmoid, softmax
from qedge.processing.detection.grids import (
    Candidates,
    Likely,
    anchor_grid,
    as_shares,
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
    Key points, x and y alone, stand between objectness and classes, and are as sure as their object; the weights of
    masks stand last.
    """
    if spec.decoded:
        whole = rows(outputs[spec.boxes], spec.channel_axis)
        told, marks, masks = _apart(spec, whole)
        found = surest(objects(told, spec.score_form == "sigmoid", spec.threshold), spec.candidates)
        places = found.places
        encoded, spots = whole[places], marks[places].reshape(len(places), spec.points, 2)
        corners = centres_to_corners(encoded[:, :2], encoded[:, 2:4], spec.input_size)
    else:
        count = len(spec.anchor_sizes) // 2 // len(spec.strides)
        whole = np.concatenate([_level(outputs[k], count) for k in spec.box_outputs])
        told, marks, masks = _apart(spec, whole)
        cells, strides, anchors = anchor_grid(spec.input_size, spec.strides, spec.anchor_sizes)
        require_places(len(whole), len(cells), spec.form)
        likely = objects(told, True, spec.threshold, spread=spec.score_form == "softmax")
        found = surest(likely, spec.candidates)
        places = found.places
        corners = _corners(
            spec, whole[places, :4], _reach(spec, places), cells[places], strides[places], anchors[places]
        )
        spots = marks[places].reshape(len(places), spec.points, 2) * anchors[places][:, None]
        spots = np.add(spots, (cells[places] * strides[places])[:, None])
    sure = np.broadcast_to(found.scores[:, None, None], (len(places), spec.points, 1))
    points = as_shares(np.concatenate([spots, sure], axis=2), spec)
    return Candidates(corners, found.classes, found.scores, points, masks[places] if spec.masks else None)


def _apart(spec: Detect, whole: Floats) -> tuple[Floats, Floats, Floats]:
    """Return box, objectness and classes (n, 5 + classes), key points (n, 2 * points) and weights of masks."""
    first, last = FIRST_CLASS + 2 * spec.points, whole.shape[1] - spec.masks
    marks, masks = whole[:, FIRST_CLASS:first], whole[:, last:]
    if spec.points:
        return np.concatenate([whole[:, :FIRST_CLASS], whole[:, first:last]], axis=1), marks, masks
    return whole[:, :last], marks, masks


def _corners(
    spec: Detect, encoded: Floats, reach: Floats, cells: Floats, strides: Floats, anchors: Floats
) -> Floats:
    """Return corners, 0 to 1, of boxes relative to their cells and anchors."""
    centres = (reach * (sigmoid(encoded[:, :2]) - np.float32(0.5)) + np.float32(0.5) + cells) * strides
    with np.errstate(over="ignore"):
        numbers = encoded[:, 2:]
        sizes = (np.exp(numbers) if spec.exponential else (2 * sigmoid(numbers)) ** 2) * anchors
    return centres_to_corners(centres, sizes, spec.input_size)


def _reach(spec: Detect, places: Places) -> Floats:
    """Return how many cells the centre of each place may move over: float32 (n, 1)."""
    scales = spec.centre_scales or (2.0,) * len(spec.strides)
    each = len(spec.anchor_sizes) // 2 // len(spec.strides)
    counts = [each * len(grid(spec.input_size, (stride,))[0]) for stride in spec.strides]
    found: Floats = np.repeat(np.array(scales, np.float32), counts)[places, None]
    return found


def objects(
    whole: Floats, logits: bool, threshold: float, root: bool = False, spread: bool = False
) -> Likely:
    """Return the places (n, 5 + classes) whose objectness times best class score (``root``: its root) is enough.

    ``spread``: the classes' logits are those of a softmax (YOLOv2).
    """
    least = threshold**2 if root else threshold
    places = np.flatnonzero(whole[:, 4] >= (least_logit(least) if logits else least))
    picked = whole[places, 4:]
    if spread:
        picked = np.concatenate([sigmoid(picked[:, :1]), softmax(picked[:, 1:])], axis=1)
    elif logits:
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
