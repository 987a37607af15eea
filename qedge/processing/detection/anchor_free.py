"""Anchor-free heads (Ultralytics' YOLOv8, v9, v10, 11, 12, 26 and v5; SCRFD, FCOS).

A cell of a grid gives its four distances to the sides of the box, and a score a class. The distances are either plain
numbers, or each a distribution over ``bins`` steps whose mean counts (Generalized Focal Loss, arXiv 2006.04388).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.processing.classify import sigmoid
from qedge.processing.detection.grids import (
    Candidates,
    Likely,
    as_shares,
    centres_to_corners,
    grid,
    likely,
    pixels_to_corners,
    require_places,
    rows,
    surest,
)
from qedge.processing.detection.turned import turned

if TYPE_CHECKING:
    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats

SIDES, SPOT = 4, 2


def decode(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return the boxes whose score reaches the threshold.

    With ``box_outputs`` and ``score_outputs``: a level each, or all levels in one; without, one output ``boxes`` has
    both: (x, y, w, h) in pixels and scores where ``decoded``, else distances and scores; key points and masks last.
    """
    once = None if spec.suppress else spec.limit
    found, boxes, points, first = [], [], [], 0
    for box, score, point in _parts(spec, outputs):
        seen = likely(score, spec.score_form == "sigmoid" and not spec.object_outputs, spec.threshold, once)
        boxes.append(box[seen.places])
        points.append(point[seen.places])
        found.append(Likely(seen.places + first, seen.classes, seen.scores))
        first += len(score)
    all_of = Likely(*(np.concatenate(values) for values in zip(*found)))
    encoded = np.concatenate(boxes)
    kept = surest(Likely(np.arange(len(encoded)), all_of.classes, all_of.scores), spec.candidates)
    encoded = encoded[kept.places]
    further = np.concatenate(points)[kept.places]
    numbers = spec.points * spec.point_numbers
    marks, masks = further[:, :numbers], further[:, numbers:] if spec.masks else None
    marks = _with_sureness(marks.reshape(len(encoded), spec.points, spec.point_numbers), kept.scores)
    if spec.turned and spec.decoded and not spec.box_outputs:
        return turned(
            spec, np.concatenate([encoded[:, :4], further[:, -1:]], axis=1), kept.classes, kept.scores
        )
    if spec.decoded and not spec.box_outputs:
        corners = centres_to_corners(encoded[:, :2], encoded[:, 2:4], spec.input_size)
        return Candidates(corners, kept.classes, kept.scores, as_shares(marks, spec), masks)
    cells, strides = grid(spec.input_size, spec.strides)
    if spec.each > 1:
        cells, strides = (np.repeat(of, spec.each, axis=0) for of in (cells, strides))
    require_places(first, len(cells), spec.form)
    places = all_of.places[kept.places]
    middles = cells[places] + np.float32(spec.cell_middle)
    sides = distances(encoded, spec.bins)
    if spec.turned:
        angles = further[:, -1:]
        if not spec.plain_angle:
            angles = (sigmoid(angles) - np.float32(0.25)) * np.float32(np.pi)
        boxes_of = np.concatenate([_between(sides, angles, middles) * strides[places], angles], axis=1)
        return turned(spec, boxes_of, kept.classes, kept.scores)
    corners = from_distances(sides, middles, strides[places], spec.input_size)
    if spec.points:
        start = cells[places] if spec.point_scale == 2 else middles
        spots = (marks[..., :2] * spec.point_scale + start[:, None]) * strides[places][:, None]
        sure = sigmoid(marks[..., 2:]) if spec.point_numbers > SPOT else marks[..., 2:]
        marks = np.concatenate([spots, sure], axis=2)
    return Candidates(corners, kept.classes, kept.scores, as_shares(marks, spec), masks)


def _between(sides: Floats, angles: Floats, middles: Floats) -> Floats:
    """Return (x, y, w, h) in cells of boxes turned by ``angles`` (n, 1), whose distances are along their own sides."""
    moved, cos, sin = (sides[:, 2:] - sides[:, :2]) / 2, np.cos(angles), np.sin(angles)
    x, y = moved[:, :1] * cos - moved[:, 1:] * sin, moved[:, :1] * sin + moved[:, 1:] * cos
    found: Floats = np.concatenate(
        [np.concatenate([x, y], axis=1) + middles, sides[:, :2] + sides[:, 2:]], axis=1
    )
    return found


def _with_sureness(marks: Floats, scores: Floats) -> Floats:
    """Return key points of three numbers: those of x and y alone are as sure as their object."""
    if marks.shape[2] > SPOT:
        return marks
    return np.concatenate([marks, np.broadcast_to(scores[:, None, None], (*marks.shape[:2], 1))], axis=2)


def _parts(spec: Detect, outputs: Sequence[Floats]) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield boxes, scores, and key points with masks, a level at a time where the outputs have them so."""
    if spec.box_outputs:
        for k, (box, score) in enumerate(zip(spec.box_outputs, spec.score_outputs)):
            boxes, scores = (rows(outputs[place], spec.channel_axis) for place in (box, score))
            extra = (spec.point_outputs, spec.mask_outputs, spec.angle_outputs)
            further = [place for places in extra for place in places[k : k + 1]]
            parts = [boxes[:, :0], *(rows(outputs[place], spec.channel_axis) for place in further)]
            if spec.each > 1:  # places of one cell lie next to each other
                boxes = boxes.reshape(-1, SIDES * max(1, spec.bins))
                scores, *parts = (of.reshape(len(boxes), -1) for of in (scores, boxes[:, :0], *parts[1:]))
            if spec.object_outputs:
                scores = _centred(spec, scores, rows(outputs[spec.object_outputs[k]], spec.channel_axis))
            yield boxes, scores, np.concatenate(parts, axis=1) if further else parts[0]
        return
    whole = rows(outputs[spec.boxes], spec.channel_axis)
    sides = SIDES if spec.decoded else SIDES * max(1, spec.bins)
    last = whole.shape[1] - spec.point_numbers * spec.points - spec.masks - spec.turned
    yield whole[:, :sides], whole[:, sides:last], whole[:, last:]


def _centred(spec: Detect, scores: Floats, centred: Floats) -> Floats:
    """Return class scores times how central each place is, with ``root`` the root of that (FCOS)."""
    parts = [sigmoid(part) if spec.score_form == "sigmoid" else part for part in (scores, centred)]
    found: Floats = np.multiply(*parts)
    return np.sqrt(found) if spec.root else found


def distances(encoded: Floats, bins: int) -> Floats:
    """Return the distances to left, top, right and bottom in cells: float32 (n, 4) from (n, 4 * bins)."""
    if bins <= 1:
        return encoded
    weights = encoded.reshape(-1, 4, bins)
    weights = np.exp(weights - weights.max(axis=2, keepdims=True))
    mean: Floats = weights @ np.arange(bins, dtype=np.float32) / weights.sum(axis=2)
    return mean


def from_distances(found: Floats, middles: Floats, strides: Floats, input_size: Sequence[int]) -> Floats:
    """Return corners, 0 to 1, from distances in cells to the middle of each cell, (x, y) in cells."""
    pixels = np.concatenate([middles - found[:, :2], middles + found[:, 2:]], axis=1) * strides
    return pixels_to_corners(pixels, input_size)
