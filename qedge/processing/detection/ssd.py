"""SSD: boxes relative to anchors, decoded here or by ``TFLite_Detection_PostProcess`` within the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qedge.errors import DataError
from qedge.processing.classify import sigmoid, softmax
from qedge.processing.detection.grids import Candidates, Likely, surest

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.detect import Detect

    Floats = npt.NDArray[np.float32]


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

    Raises:
        DataError: the model has another number of anchors.
    """
    encoded = np.asarray(outputs[spec.boxes], np.float32).reshape(-1, 4)
    raw = np.asarray(outputs[spec.scores_output], np.float32).reshape(len(encoded), -1)
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
    corners = decode_boxes(encoded[found.places], anchors[found.places], spec.box_scales)
    return Candidates(corners, found.classes, found.scores)


def decode_boxes(encoded: Floats, anchors: Floats, scales: Sequence[float]) -> Floats:
    """Return corners (top, left, bottom, right) of boxes encoded relative to anchors, all float32 (n, 4).

    Source: ``tensorflow/lite/kernels/detection_postprocess.cc``, ``DecodeCenterSizeBoxes``.
    """
    y = encoded[:, 0] / np.float32(scales[0]) * anchors[:, 2] + anchors[:, 0]
    x = encoded[:, 1] / np.float32(scales[1]) * anchors[:, 3] + anchors[:, 1]
    half_height = 0.5 * np.exp(encoded[:, 2] / np.float32(scales[2])) * anchors[:, 2]
    half_width = 0.5 * np.exp(encoded[:, 3] / np.float32(scales[3])) * anchors[:, 3]
    return np.stack([y - half_height, x - half_width, y + half_height, x + half_width], axis=1)


def ssd_anchors(
    input_size: Sequence[int],
    strides: Sequence[int],
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
    if spec.anchors:
        return np.array(spec.anchors, np.float32).reshape(-1, 4)
    return ssd_anchors(spec.input_size, spec.strides, spec.min_scale, spec.max_scale, spec.aspect_ratios)
