"""Object detection: a detector's outputs as boxes, classes and scores.

What a model's outputs mean is stated (``form`` and its fields), never guessed. A decoder a family lies in
:mod:`qedge.processing.detection`, and is imported when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from qedge.errors import DataError
from qedge.processing.detection.nms import non_max_suppression
from qedge.processing.detection.objects import Detection as Detection
from qedge.processing.detection.objects import in_pixels as in_pixels
from qedge.processing.spec import Postprocess, is_int, is_number, require

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.detection.grids import Candidates

    Floats = npt.NDArray[np.float32]

FORMS: Mapping[str, str] = {
    "ssd": "ssd:done",
    "anchors": "ssd:decode",
    "yolov5": "anchored:decode",
    "yolov8": "anchor_free:decode",
    "yolox": "yolox:decode",
    "top_k": "top_k:decode",
    "pairs": "pairs:decode",
    "centernet": "heat_map:centres",
    "centerface": "heat_map:faces",
    "fomo": "heat_map:cells",
}
"""The decoder of each form: module and function within :mod:`qedge.processing.detection`."""
SETTLED = ("ssd", "top_k", "centernet", "fomo")
"""Forms that give every object once, so that nothing is suppressed."""
WITH_PARTS: Mapping[str, tuple[str, ...]] = {
    "points": ("yolov8", "top_k", "yolov5", "yolox", "anchors", "centerface"),
    "masks": ("yolov8", "top_k", "yolov5"),
}
"""Forms whose objects may have key points, and masks."""
OF_ONE_GRID = ("centernet", "centerface")
"""Forms whose outputs are maps of one grid, each named by itself."""
LEVELS = ("box_outputs", "score_outputs", "object_outputs", "point_outputs", "mask_outputs", "angle_outputs")
SCORES = ("probabilities", "sigmoid", "softmax")


class Detect(Postprocess):
    """Return the objects in an image, the surest first.

    Args:
        form: ``ssd``: four outputs as ``TFLite_Detection_PostProcess`` gives them; ``anchors``: raw box
            encodings (1, anchors, 4) against anchors and class scores (1, anchors, classes), or a level each in
            ``box_outputs`` and ``score_outputs``; ``yolov5`` (v5 and v7 with anchors), ``yolov8`` (anchor-free: v8,
            v9, v11, and v10 and 26 before their own choice), ``yolox``; ``top_k``: rows (1, k, 6) as v10 and 26 end
            with; ``pairs``: decoded boxes and scores; ``centernet``; ``centerface``; ``fomo``. Their layout: the
            decoder's module in :mod:`qedge.processing.detection`.
        boxes, classes, scores_output, count: positions of the model's outputs; ``anchors``, ``pairs`` and ``fomo`` use
            the first and third, ``centernet`` and ``centerface`` take offsets from the fourth.
        score_form: what the scores are; a function other than none is applied here.
        score_shift: what was added to logits before a RELU ended them below; it is subtracted first.
        background: class 0 is the background, and the labels start with class 1.
        last_is_none: the last class of ``pairs`` says that nothing is there, and is no label (DETR's softmax).
        corners: boxes of ``pairs`` are (left, top, right, bottom); else centres and sizes.
        threshold: least score.
        iou: boxes that overlap a surer one by more than this are dropped (intersection over union).
        per_class: whether only boxes of the same class count as overlapping.
        limit: most objects.
        anchors: (y, x, h, w) of every anchor, flat, 0 to 1; empty generates them, see
            :func:`qedge.processing.detection.ssd.ssd_anchors`.
        input_size: height and width of the model's input.
        strides: pixels of the input from one place to the next, a level each.
        min_scale, max_scale, aspect_ratios: of generated anchors.
        box_scales: what (y, x, h, w) encodings are divided by.
        x_first: whether encodings of ``anchors`` and their key points have x before y.
        linear: whether encoded sizes are multiples of the anchor's, no exponents (MediaPipe).
        box_outputs, score_outputs, object_outputs: positions of the outputs of each level, where a head that was cut
            off before its decoding gives them apart; empty: one output ``boxes`` has all. The third are of ``yolox``,
            and of ``yolov8`` how central a place is (FCOS).
        decoded: whether that one output has centres and sizes in pixels; else what the last convolution gives.
        channel_axis: of such outputs: -1, or 1 for (1, channels, places).
        bins: steps of each distance's distribution in ``yolov8``; 1: the distances themselves.
        cell_middle: where in its cell a place of ``yolov8`` is, from which distances count: 0.5, or 0 for its corner.
        each: places of a cell in ``yolov8``, next to each other: 2 in SCRFD.
        anchor_sizes: (w, h) in pixels of every anchor of a cell, level by level: of ``yolov5`` where it is not decoded,
            of ``anchors`` whose middles are those of the cells.
        anchor_counts: how many of them each stride has; (): all as many.
        exponential: whether sizes of ``yolov5`` are exponents times the anchor (YOLOv3, v4); else squares of twice a
            sigmoid.
        centre_scales: cells that a centre of ``yolov5`` may move over, for each stride (1 in YOLOv3); (): 2.
        root: whether a score is the root of objectness (``yolov8``: of how central a place is) times class score
            (YuNet, FCOS).
        points: key points of an object. They stand behind the class scores (``anchors``: behind the box;
            ``yolov5``: behind objectness) where all is one output.
        point_numbers: channels of one in ``yolov8``: 3 (x, y and how sure) or 2, as in the other forms but ``top_k``.
        point_outputs: positions of the outputs with the key points of each level.
        point_scale: cells that one step of their x and y is: 2, counted from the corner of a cell (YOLOv8, 11), or 1,
            from its middle (YOLO26).
        masks: weights of an object's mask (``yolov8``, ``top_k``), which stand behind the class scores where all is one
            output.
        mask_outputs: positions of the outputs with those of each level.
        prototypes: position of the output with the maps that they weight, (1, h, w, masks).
        clipped: whether boxes are clipped to the image before overlapping ones are dropped, as torchvision does.
        turned: whether boxes of ``yolov8`` and ``top_k`` have an angle, the last channel (Ultralytics' obb).
        plain_angle: whether it is one before it is decoded (YOLO26); else it goes through a sigmoid (YOLOv8, 11).
        angle_outputs: positions of the outputs with the angles of each level.
        suppress: whether overlapping boxes are dropped; a head that was trained to give each object once needs none.
        candidates: most boxes that suppression looks at, the surest.
    """

    kind: ClassVar[str] = "detect"

    form: str = "ssd"
    boxes: int = 0
    classes: int = 1
    scores_output: int = 2
    count: int = 3
    score_form: str = "sigmoid"
    score_shift: float = 0.0
    background: bool = False
    last_is_none: bool = False
    corners: bool = False
    threshold: float = 0.5
    iou: float = 0.6
    per_class: bool = True
    limit: int = 20
    anchors: tuple[float, ...] = ()
    input_size: tuple[int, ...] = (300, 300)
    strides: tuple[float, ...] = (16, 32, 64, 128, 256, 512)
    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    box_scales: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)
    x_first: bool = False
    linear: bool = False
    box_outputs: tuple[int, ...] = ()
    score_outputs: tuple[int, ...] = ()
    object_outputs: tuple[int, ...] = ()
    decoded: bool = True
    channel_axis: int = -1
    bins: int = 16
    each: int = 1
    cell_middle: float = 0.5
    anchor_sizes: tuple[float, ...] = ()
    anchor_counts: tuple[int, ...] = ()
    exponential: bool = False
    centre_scales: tuple[float, ...] = ()
    root: bool = False
    clipped: bool = False
    turned: bool = False
    plain_angle: bool = False
    angle_outputs: tuple[int, ...] = ()
    suppress: bool = True
    candidates: int = 3000
    points: int = 0
    point_numbers: int = 3
    point_outputs: tuple[int, ...] = ()
    point_scale: int = 2
    masks: int = 0
    mask_outputs: tuple[int, ...] = ()
    prototypes: int = 1

    def __post_init__(self) -> None:
        require(self.form in FORMS, "form", self.form, f"one of {', '.join(FORMS)}")
        require(self.score_form in SCORES, "score_form", self.score_form, f"one of {', '.join(SCORES)}")
        for name in ("boxes", "classes", "scores_output", "count", "prototypes"):
            value = getattr(self, name)
            require(is_int(value) and value >= 0, name, value, "an integer of at least 0")
        for name in ("limit", "bins", "candidates", "each"):
            value = getattr(self, name)
            require(is_int(value) and value > 0, name, value, "an integer of at least 1")
        for name in ("threshold", "iou", "min_scale", "max_scale", "cell_middle"):
            value = getattr(self, name)
            require(is_number(value) and 0 <= value <= 1, name, value, "a number from 0 to 1")
        for name in (
            "background",
            "last_is_none",
            "corners",
            "per_class",
            "decoded",
            "suppress",
            "root",
            "x_first",
            "linear",
        ):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        require(self.point_numbers in (2, 3), "point_numbers", self.point_numbers, "2 or 3")
        shift = self.score_shift
        require(is_number(shift) and shift >= 0, "score_shift", shift, "a number of at least 0")
        require(self.point_scale in (1, 2), "point_scale", self.point_scale, "1 or 2")
        require(self.channel_axis in (-1, 1), "channel_axis", self.channel_axis, "-1 or 1")
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
        self._check_levels()

    def _check_levels(self) -> None:
        for name in LEVELS:
            value = getattr(self, name)
            good = isinstance(value, tuple) and all(is_int(v) and v >= 0 for v in value)
            require(good, name, value, "positions of outputs")
        for name in ("points", "masks"):
            value = getattr(self, name)
            forms = WITH_PARTS[name]
            good = is_int(value) and value >= 0 and (value == 0 or self.form in forms)
            require(
                good, name, value, f"an integer of at least 0, and 0 in other forms than {', '.join(forms)}"
            )
        boxes = self.box_outputs
        together = self.form == "yolov5"
        needed = {
            "score_outputs": len(boxes),
            "object_outputs": len(boxes) if self.form == "yolox" or self._is_centred() else 0,
            "point_outputs": self._wanted_points(),
            "mask_outputs": len(boxes) if self.masks else 0,
            "angle_outputs": len(boxes) if self.turned else 0,
        }
        for name, wanted in {} if together else needed.items():
            value = getattr(self, name)
            require(len(value) == wanted, name, value, f"{wanted} positions, as box_outputs has {len(boxes)}")
        require(self.each == 1 or bool(boxes), "box_outputs", boxes, "the outputs with several places a cell")
        good = not self.turned or (self.form in ("yolov8", "top_k") and self.points == self.masks == 0)
        require(good, "turned", self.turned, "false but for yolov8 and top_k without key points and masks")
        self._check_anchors()
        if together and not self.decoded:
            require(bool(boxes), "box_outputs", boxes, "the output of each stride")
            require(bool(self.anchor_sizes), "anchor_sizes", self.anchor_sizes, "the sizes of the anchors")

    def _is_centred(self) -> bool:
        """Return whether places say how central they are, too."""
        return self.form == "yolov8" and bool(self.object_outputs)

    def _wanted_points(self) -> int:
        """Return how many outputs have key points; those of ``anchors`` may stand behind the boxes."""
        if not self.points or (self.form == "anchors" and not self.point_outputs):
            return 0
        return 1 if self.form in OF_ONE_GRID else len(self.box_outputs)

    def _check_anchors(self) -> None:
        sizes, counts, levels = self.anchor_sizes, self.anchor_counts, len(self.strides)
        good = isinstance(sizes, tuple) and all(is_number(v) and v > 0 for v in sizes)
        if counts:
            right = (
                isinstance(counts, tuple)
                and len(counts) == levels
                and all(is_int(v) and v > 0 for v in counts)
            )
            require(right, "anchor_counts", counts, f"how many anchors each of {levels} strides has")
            require(good and len(sizes) == 2 * sum(counts), "anchor_sizes", sizes, f"{sum(counts)} pairs")
        scales = self.centre_scales
        right = (
            isinstance(scales, tuple)
            and len(scales) in (0, levels)
            and all(is_number(v) and v > 0 for v in scales)
        )
        require(right, "centre_scales", scales, f"a number above 0 for each of {levels} strides")
        require(
            bool(counts) or (good and len(sizes) % (2 * levels) == 0),
            "anchor_sizes",
            sizes,
            f"pairs for each of {levels} strides",
        )

    def apply(self, outputs: Sequence[Floats], labels: Sequence[str]) -> list[Detection]:
        """Return the objects, the surest first.

        Raises:
            DataError: the model has other outputs than this describes.
        """
        found = self.decode(outputs)
        if self.clipped:
            found = found._replace(boxes=np.clip(found.boxes, 0, 1))
        if self.form in SETTLED or not self.suppress:
            order = np.argsort(-found.scores, kind="stable")[: self.limit]
        else:
            groups = found.classes if self.per_class else np.zeros(len(found.classes), np.int64)
            order = _kept(found, groups, self.iou, self.limit)
        corners = np.clip(found.boxes[order], 0, 1).tolist()
        points = [()] * len(order) if found.points is None else found.points[order].tolist()
        return [
            Detection(
                labels[c] if c < len(labels) else str(c),
                s,
                (b[0], b[1], b[2], b[3]),
                tuple(map(tuple, p)),
                mask,
            )
            for b, c, s, p, mask in zip(
                corners,
                found.classes[order].tolist(),
                found.scores[order].tolist(),
                points,
                self._masks(found, order, outputs),
            )
        ]

    def _masks(self, found: Candidates, order: Any, outputs: Sequence[Floats]) -> list[tuple[Any, ...]]:
        """Return the mask of each object that is left."""
        if found.masks is None:
            return [()] * len(order)
        from qedge.processing.detection.masks import mask_runs

        maps = np.asarray(outputs[self.prototypes], np.float32)
        if maps.ndim != 4 or maps.shape[-1] != self.masks:
            raise DataError(
                f"prototypes: found an output of shape {list(maps.shape)}, expected [1, h, w, {self.masks}]",
                hint="state which output has the maps that the masks are made of",
            )
        return [mask_runs(found.masks[k], maps[0], found.boxes[k]) for k in order]

    def score_places(self) -> tuple[int, ...]:
        """Return the positions of outputs that have scores alone, objectness among them; () where none has."""
        if self.score_outputs:
            return (*self.score_outputs, *self.object_outputs)
        apart = self.form in (*OF_ONE_GRID, "anchors", "pairs", "fomo") and self.scores_output != self.boxes
        return (self.scores_output,) if apart else ()

    def decode(self, outputs: Sequence[Floats]) -> Candidates:
        """Return every box that reaches the threshold, before suppression, in the model's order."""
        used = [
            self.boxes,
            *([self.prototypes] if self.masks else []),
            *(place for name in LEVELS for place in getattr(self, name)),
        ]
        if self.form == "ssd" or self.form in OF_ONE_GRID:
            used += [self.scores_output, self.count, *([self.classes] if self.form == "ssd" else [])]
        elif self.form in ("anchors", "pairs", "fomo") and not self.box_outputs:
            used = [self.scores_output, *([] if self.form == "fomo" else [self.boxes])]
        if max(used) >= len(outputs):
            raise DataError(
                f"{self.form}: the post-processing reads output {max(used)}, the model has {len(outputs)} outputs",
                hint="state the positions of the outputs, from 0, or another form",
            )
        if self.score_shift:
            shifted = self.score_places()
            outputs = [o - np.float32(self.score_shift) if k in shifted else o for k, o in enumerate(outputs)]
        module, _, name = FORMS[self.form].partition(":")
        decoder = getattr(importlib.import_module(f"qedge.processing.detection.{module}"), name)
        found: Candidates = decoder(self, outputs)
        return found


def _kept(found: Candidates, groups: npt.NDArray[Any], iou: float, limit: int) -> npt.NDArray[np.intp]:
    """Return which boxes suppression leaves, the surest first; turned ones overlap as far as they cover each other."""
    if found.turned is None:
        return non_max_suppression(found.boxes, found.scores, groups, iou, limit)
    from qedge.processing.detection.turned import alike

    return non_max_suppression(found.turned, found.scores, groups, iou, limit, alike)
