"""Object detection: boxes from the SSD post-processing operator, or from raw box encodings and anchors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from qedge.errors import DataError
from qedge.processing.classify import sigmoid, softmax
from qedge.processing.spec import Postprocess, is_int, is_number, require

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

FORMS = ("ssd", "anchors")
SCORES = ("probabilities", "sigmoid", "softmax")


class Detection(NamedTuple):
    """One object; ``box`` is (top, left, bottom, right), 0 to 1 of the model's input, clipped to it.

    ``ImagePreprocess.to_source`` turns boxes into pixels of the image they were found in.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]


class Detect(Postprocess):
    """Return the objects in an image, the surest first.

    Args:
        form: ``ssd``: four outputs as ``TFLite_Detection_PostProcess`` gives them; ``anchors``: raw box
            encodings (1, anchors, 4) as (y, x, h, w) and class scores (1, anchors, classes).
        boxes, classes, scores_output, count: positions of the model's outputs; ``anchors`` uses the first and third.
        score_form: for ``anchors``: what the scores are; a function other than none is applied here.
        background: class 0 is the background, and the labels start with class 1.
        threshold: least score.
        iou: boxes that overlap a surer one by more than this are dropped (intersection over union).
        per_class: whether only boxes of the same class count as overlapping.
        limit: most objects.
        anchors: (y, x, h, w) of every anchor, flat, 0 to 1; empty generates them, see :func:`ssd_anchors`.
        input_size: height and width of the model's input, for generated anchors.
        strides, min_scale, max_scale, aspect_ratios: of generated anchors.
        box_scales: what (y, x, h, w) encodings are divided by.
    """

    kind: ClassVar[str] = "detect"

    form: str = "ssd"
    boxes: int = 0
    classes: int = 1
    scores_output: int = 2
    count: int = 3
    score_form: str = "sigmoid"
    background: bool = False
    threshold: float = 0.5
    iou: float = 0.6
    per_class: bool = True
    limit: int = 20
    anchors: tuple[float, ...] = ()
    input_size: tuple[int, ...] = (300, 300)
    strides: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    box_scales: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)

    def __post_init__(self) -> None:
        require(self.form in FORMS, "form", self.form, f"one of {', '.join(FORMS)}")
        require(self.score_form in SCORES, "score_form", self.score_form, f"one of {', '.join(SCORES)}")
        for name in ("boxes", "classes", "scores_output", "count"):
            value = getattr(self, name)
            require(is_int(value) and value >= 0, name, value, "an integer of at least 0")
        require(is_int(self.limit) and self.limit > 0, "limit", self.limit, "an integer of at least 1")
        for name in ("threshold", "iou", "min_scale", "max_scale"):
            value = getattr(self, name)
            require(is_number(value) and 0 <= value <= 1, name, value, "a number from 0 to 1")
        for name in ("background", "per_class"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        for name, size in (("input_size", 2), ("box_scales", 4)):
            value = getattr(self, name)
            good = (
                isinstance(value, tuple) and len(value) == size and all(is_number(v) and v > 0 for v in value)
            )
            require(good, name, value, f"{size} numbers above 0")
        for name in ("strides", "aspect_ratios"):
            value = getattr(self, name)
            good = isinstance(value, tuple) and len(value) > 0 and all(is_number(v) and v > 0 for v in value)
            require(good, name, value, "numbers above 0")
        require(
            isinstance(self.anchors, tuple) and len(self.anchors) % 4 == 0 and all(map(is_number, self.anchors)),
            "anchors", self.anchors, "four numbers an anchor",
        )  # fmt: skip

    def apply(self, outputs: Sequence[Floats], labels: Sequence[str]) -> list[Detection]:
        """Return the objects, the surest first."""
        boxes, classes, scores = (
            self._from_ssd(outputs) if self.form == "ssd" else self._from_anchors(outputs)
        )
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self.threshold][: self.limit]
        corners = np.clip(boxes[order], 0, 1)
        return [
            Detection(labels[c] if c < len(labels) else str(c), float(s), (b[0], b[1], b[2], b[3]))
            for b, c, s in zip(corners.tolist(), classes[order].tolist(), scores[order])
        ]

    def _from_ssd(self, outputs: Sequence[Floats]) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        boxes, classes, scores = (
            np.asarray(outputs[k], np.float32)[0] for k in (self.boxes, self.classes, self.scores_output)
        )
        found = round(float(np.asarray(outputs[self.count]).reshape(-1)[0]))
        return boxes[:found], np.rint(classes[:found]).astype(np.int64), scores[:found]

    def _from_anchors(self, outputs: Sequence[Floats]) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        encoded = np.asarray(outputs[self.boxes], np.float32).reshape(-1, 4)
        raw = np.asarray(outputs[self.scores_output], np.float32).reshape(len(encoded), -1)
        anchors = _anchors(self)
        if len(anchors) != len(encoded):
            raise DataError(
                f"the model has {len(encoded)} boxes, the post-processing {len(anchors)} anchors",
                hint="state strides, aspect_ratios and input_size as the model was trained with, or anchors",
            )
        scores = {"sigmoid": sigmoid, "softmax": softmax}.get(self.score_form, np.asarray)(raw)
        scores = scores[:, 1:] if self.background else scores
        best = scores.argmax(axis=1)
        confidence = scores.max(axis=1)
        likely = np.flatnonzero(confidence >= self.threshold)
        corners = decode_boxes(encoded[likely], anchors[likely], self.box_scales)
        groups = best[likely] if self.per_class else np.zeros(len(likely), np.int64)
        kept = likely[non_max_suppression(corners, confidence[likely], groups, self.iou, self.limit)]
        boxes = decode_boxes(encoded[kept], anchors[kept], self.box_scales)
        return boxes, best[kept], confidence[kept]


def decode_boxes(encoded: Floats, anchors: Floats, scales: Sequence[float]) -> Floats:
    """Return corners (top, left, bottom, right) of boxes encoded relative to anchors, all float32 (n, 4).

    Source: ``tensorflow/lite/kernels/detection_postprocess.cc``, ``DecodeCenterSizeBoxes``.
    """
    y = encoded[:, 0] / np.float32(scales[0]) * anchors[:, 2] + anchors[:, 0]
    x = encoded[:, 1] / np.float32(scales[1]) * anchors[:, 3] + anchors[:, 1]
    half_height = 0.5 * np.exp(encoded[:, 2] / np.float32(scales[2])) * anchors[:, 2]
    half_width = 0.5 * np.exp(encoded[:, 3] / np.float32(scales[3])) * anchors[:, 3]
    return np.stack([y - half_height, x - half_width, y + half_height, x + half_width], axis=1)


def non_max_suppression(
    boxes: Floats, scores: Floats, groups: npt.NDArray[Any], iou: float, limit: int
) -> npt.NDArray[np.intp]:
    """Return the indices of the boxes that no surer box of their group overlaps by more than ``iou``.

    The surest first, at most ``limit``; ``boxes`` are (top, left, bottom, right), float (n, 4).
    """
    order = np.argsort(-scores, kind="stable")
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    kept: list[int] = []
    while order.size and len(kept) < limit:
        first, rest = order[0], order[1:]
        kept.append(int(first))
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = area[first] + area[rest] - shared
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        order = rest[(overlap <= iou) | (groups[rest] != groups[first])]
    return np.array(kept, np.intp)


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
