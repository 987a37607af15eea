"""Boxes relative to anchors (SSD, RetinaFace, MediaPipe), decoded here or by ``TFLite_Detection_PostProcess``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qedge.errors import DataError
from qedge.processing.classify import sigmoid, softmax
from qedge.processing.detection.grids import Candidates, Likely, anchor_grid, rows, surest

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.detect import Detect

    Floats = npt.NDArray[np.float32]

SIDES = 4


def done(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return what the model's own post-processing found that reaches the threshold."""
    boxes, classes, scores = (
        np.asarray(outputs[k], np.float32)[0] for k in (spec.boxes, spec.classes, spec.scores_output)
    )
    found = round(float(np.asarray(outputs[spec.count]).reshape(-1)[0]))
    sure = np.flatnonzero(scores[:found] >= spec.threshold)
    return Candidates(boxes[sure], np.rint(classes[sure]).astype(np.intp), scores[sure])


def decode(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return the boxes whose best class reaches the threshold.

    With ``box_outputs`` and ``score_outputs``, a level each or all levels in one; else ``boxes`` and ``scores_output``.
    Key points are encoded as centres are: in ``point_outputs``, else behind each box. They are as sure as their object.

    Raises:
        DataError: the model has another number of anchors.
    """
    encoded, raw, marks = _parts(spec, outputs)
    anchors = _anchors(spec)
    if len(anchors) != len(encoded):
        raise DataError(
            f"the model has {len(encoded)} boxes, the post-processing {len(anchors)} anchors",
            hint="state strides, aspect_ratios and input_size as the model was trained with, or anchors",
        )
    scores = {"sigmoid": sigmoid, "softmax": softmax}.get(spec.score_form, np.asarray)(raw)
    scores = scores[:, 1:] if spec.background else scores
    best, confidence = scores.argmax(axis=1), scores.max(axis=1)
    sure = np.flatnonzero(confidence >= spec.threshold)
    found = surest(Likely(sure, best[sure], confidence[sure]), spec.candidates)
    around = anchors[found.places]
    boxes = encoded[found.places]
    if spec.x_first:
        boxes = boxes[:, [1, 0, 3, 2]]
    corners = decode_boxes(boxes, around, spec.box_scales, spec.linear)
    if not spec.points:
        return Candidates(corners, found.classes, found.scores)
    spots: Floats = marks[found.places].reshape(len(boxes), spec.points, 2)
    if spec.x_first:
        spots = spots[..., ::-1]
    steps = around[:, None, 2:] / np.array(spec.box_scales[:2], np.float32)
    spots = np.add(spots * steps, around[:, None, :2])
    sureness = np.broadcast_to(found.scores[:, None, None], (len(boxes), spec.points, 1))
    return Candidates(corners, found.classes, found.scores, np.concatenate([spots, sureness], axis=2))


def _parts(spec: Detect, outputs: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Return encodings (n, 4), scores (n, classes) and key points (n, 2 * points) of all places."""
    axis = spec.channel_axis
    boxes = [rows(outputs[k], axis) for k in spec.box_outputs or (spec.boxes,)]
    marks = [rows(outputs[k], axis) for k in spec.point_outputs]
    width = SIDES if marks else SIDES + 2 * spec.points
    levels = [level.reshape(-1, width) for level in boxes]
    scores = [
        rows(outputs[k], axis).reshape(len(level), -1)
        for k, level in zip(spec.score_outputs or (spec.scores_output,), levels)
    ]
    encoded = np.concatenate(levels)
    points = np.concatenate([m.reshape(-1, 2 * spec.points) for m in marks]) if marks else encoded[:, SIDES:]
    return encoded[:, :SIDES], np.concatenate(scores), points


def decode_boxes(encoded: Floats, anchors: Floats, scales: Sequence[float], linear: bool = False) -> Floats:
    """Return corners (top, left, bottom, right) of boxes encoded relative to anchors, all float32 (n, 4).

    Source: ``tensorflow/lite/kernels/detection_postprocess.cc``, ``DecodeCenterSizeBoxes``; ``linear``: sizes are
    multiples of the anchor's, no exponents (MediaPipe, ``tensors_to_detections_calculator.cc``).
    """
    sizes = encoded[:, 2:] / np.array(scales[2:], np.float32)
    half = np.float32(0.5) * (sizes if linear else np.exp(sizes)) * anchors[:, 2:]
    centres = encoded[:, :2] / np.array(scales[:2], np.float32) * anchors[:, 2:] + anchors[:, :2]
    found: Floats = np.concatenate([centres - half, centres + half], axis=1)
    return found


def ssd_anchors(
    input_size: Sequence[int],
    strides: Sequence[float],
    min_scale: float,
    max_scale: float,
    aspect_ratios: Sequence[float],
) -> Floats:
    """Return (y, x, h, w) of the anchors of an SSD, float32 (n, 4), 0 to 1.

    As TensorFlow's object detection API makes them (``ssd_anchor_generator``): one feature map a stride, the
    scales in even steps, three anchors in the lowest layer, and one more of aspect 1 between two scales.
    """
    layers = len(strides)
    scales = [min_scale + (max_scale - min_scale) * k / max(1, layers - 1) for k in range(layers)] + [1.0]
    found = []
    for layer, stride in enumerate(strides):
        if layer == 0:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            shapes = [(scales[layer], ratio) for ratio in aspect_ratios]
            shapes.append(((scales[layer] * scales[layer + 1]) ** 0.5, 1.0))
        rows, columns = (-(-int(side) // int(stride)) for side in input_size)
        y, x, k = np.meshgrid(
            (np.arange(rows) + 0.5) / rows,
            (np.arange(columns) + 0.5) / columns,
            np.arange(len(shapes)),
            indexing="ij",
        )
        height = np.array([scale / ratio**0.5 for scale, ratio in shapes])[k]
        width = np.array([scale * ratio**0.5 for scale, ratio in shapes])[k]
        found.append(np.stack([y, x, height, width], axis=-1).reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)


@lru_cache(maxsize=4)
def _anchors(spec: Detect) -> Floats:
    """Return (y, x, h, w) of every anchor as shares of the input, float32 (n, 4)."""
    if spec.anchors:
        return np.array(spec.anchors, np.float32).reshape(-1, 4)
    if spec.anchor_sizes:
        cells, strides, sizes = anchor_grid(
            spec.input_size, spec.strides, spec.anchor_sizes, spec.anchor_counts
        )
        places = np.concatenate([(cells + np.float32(spec.cell_middle)) * strides, sizes], axis=1)
        found: Floats = np.divide(places[:, [1, 0, 3, 2]], np.array([*spec.input_size] * 2, np.float32))
        return found
    return ssd_anchors(spec.input_size, spec.strides, spec.min_scale, spec.max_scale, spec.aspect_ratios)
