"""What a model sees, as the views take it: labels, boxes or points in pixels of the frame."""

from __future__ import annotations

from collections import Counter
from typing import Any

import qedge
from qedge.errors import DataError
from qedge.processing.detect import Detection, in_pixels
from qedge.processing.image import ImagePreprocess

KINDS = ("classify", "detect", "keypoints")
THRESHOLDS = {"classify": 0.0, "keypoints": 0.3}
# Which of COCO's 17 points are joined: head, shoulders and arms, hips and legs.
SKELETON = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10),
    (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip

Seen = dict[str, Any]


class Task:
    """Reads a model's results.

    Args:
        model: a bundle that takes images and classifies, detects or finds key points.
        top: most labels or boxes; None: 3 labels, 20 boxes.
        threshold: least score of what is shown; None: the bundle's for boxes, 0.3 for points, 0 for labels.

    Raises:
        DataError: the model does something else.
    """

    def __init__(self, model: qedge.Model, top: int | None, threshold: float | None) -> None:
        post = model.postprocess
        if not isinstance(model.preprocess, ImagePreprocess):
            takes = model.preprocess.kind if model.preprocess else "raw numbers"
            raise DataError(
                f"{model.name}: the model takes {takes}, expected one that takes images",
                hint="state the images that it was trained on when building it: qedge build --range 0,1 ...",
            )
        self.kind: str = post.kind if post is not None else "classify"
        if self.kind not in KINDS or (post is None and not _gives_scores(model)):
            does = post.kind if post else "raw numbers"
            raise DataError(
                f"{model.name}: the model's post-processing is {does}, expected one of {', '.join(KINDS)}",
                hint="state it when building the bundle: qedge build --post classify",
            )
        self.top = top or (3 if self.kind == "classify" else 20)
        if threshold is None:
            threshold = THRESHOLDS.get(self.kind, getattr(post, "threshold", 0.0))
        self.threshold = threshold
        if self.kind == "detect":
            model.postprocess = post.replace(threshold=threshold, limit=max(post.limit, self.top))
        elif self.kind == "keypoints":  # all points, so that their numbers stay what the skeleton means
            model.postprocess = post.replace(threshold=0.0)
        self._preprocess = model.preprocess
        points = len(model.labels) or 17 if self.kind == "keypoints" else getattr(post, "points", 0)
        self.edges = SKELETON if points == 17 else ()

    def read(self, result: qedge.Result, height: int, width: int) -> Seen:
        """Return ``labels``, ``boxes`` or ``points`` of a result; ``height`` and ``width`` are the frame's."""
        if self.kind == "classify":
            best = [(label, score) for label, score in result.top(self.top) if score >= self.threshold]
            return {"labels": [{"label": label, "score": round(score, 4)} for label, score in best]}
        if self.kind == "detect":
            found = in_pixels(result.value[: self.top], self._preprocess, height, width)
            return {"boxes": [_box(one) for one in found]}
        points = []
        for name, score, *place in result.value:
            y, x = self._preprocess.to_source(place, height, width).tolist()
            points.append({"name": name, "x": round(x, 1), "y": round(y, 1), "score": round(score, 4)})
        return {"points": points}

    def name(self, seen: Seen) -> str:
        """Return what is seen in a few words without scores; empty where nothing is."""
        if "labels" in seen:
            return str(seen["labels"][0]["label"]) if seen["labels"] else ""
        if "boxes" in seen:
            counts = Counter(box["label"] for box in seen["boxes"])
            return ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
        sure = sum(point["score"] >= self.threshold for point in seen["points"])
        return "somebody" if 4 * sure >= len(seen["points"]) > 0 else ""  # a face is a quarter of a body

    def text(self, seen: Seen) -> str:
        """Return what is seen on one line, with scores."""
        if "points" in seen:
            sure = sum(point["score"] >= self.threshold for point in seen["points"])
            return f"{sure} of {len(seen['points'])} points"
        found = seen["labels"] if "labels" in seen else seen["boxes"]
        sure = [entry for entry in found if entry["score"] >= 0.005]  # 0.00 says nothing
        return ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in sure) or "nothing"


def _box(found: Detection) -> Seen:
    """Return (left, top, right, bottom), as browsers draw."""
    top, left, bottom, right = (round(side, 1) for side in found.box)
    said: Seen = {"label": found.label, "score": round(found.score, 4), "box": [left, top, right, bottom]}
    if found.points:
        said["points"] = [[round(x, 1), round(y, 1), round(score, 4)] for y, x, score in found.points]
    if found.mask:
        said["mask"] = [[round(side, 1) for side in (x, y, u, v)] for y, x, v, u in found.mask]
    return said


def _gives_scores(model: qedge.Model) -> bool:
    """Whether the model has but one output, a row of numbers."""
    shape = model.outputs[0].shape
    return len(model.outputs) == 1 and len(shape) == 2 and shape[1] > 1
