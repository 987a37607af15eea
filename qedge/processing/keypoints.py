"""Key points: where the joints of a body, or the corners of a face, are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from qedge.errors import DataError
from qedge.processing.classify import sigmoid
from qedge.processing.spec import Postprocess, is_int, is_number, require

if TYPE_CHECKING:
    import numpy.typing as npt

FORMS = ("points", "heatmaps")
COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
    "left_ankle", "right_ankle",
)  # fmt: skip


class Keypoint(NamedTuple):
    """One point; ``y`` and ``x`` are 0 to 1 of the model's input, from its top left corner."""

    label: str
    score: float
    y: float
    x: float


class Keypoints(Postprocess):
    """Return the key points, in the model's order.

    Args:
        form: ``points``: an output (1, 1, points, 3) of y, x and score, as MoveNet gives it; ``heatmaps``:
            (1, h, w, points) logits, and offsets (1, h, w, 2 * points) in pixels as PoseNet gives them.
        output: which of the model's outputs.
        offsets: which output holds the offsets of ``heatmaps``, or None.
        stride: pixels of the model's input from one value of a heat map to the next, for ``offsets``.
        threshold: least score of the points that are returned.
    """

    kind: ClassVar[str] = "keypoints"

    form: str = "points"
    output: int = 0
    offsets: int | None = None
    stride: int = 16
    threshold: float = 0.0

    def __post_init__(self) -> None:
        require(self.form in FORMS, "form", self.form, f"one of {', '.join(FORMS)}")
        require(is_int(self.output) and self.output >= 0, "output", self.output, "an integer of at least 0")
        good = self.offsets is None or (is_int(self.offsets) and self.offsets >= 0)
        require(good, "offsets", self.offsets, "an integer of at least 0, or null")
        require(is_int(self.stride) and self.stride > 0, "stride", self.stride, "an integer of at least 1")
        require(is_number(self.threshold), "threshold", self.threshold, "a number")

    def apply(self, outputs: Sequence[npt.NDArray[np.float32]], labels: Sequence[str]) -> list[Keypoint]:
        """Return the points whose score reaches the threshold; without labels, 17 points have COCO's names."""
        points = self._points(outputs) if self.form == "points" else self._peaks(outputs)
        names = labels or (COCO if len(points) == len(COCO) else ())
        return [
            Keypoint(names[k] if k < len(names) else str(k), score, y, x)
            for k, (y, x, score) in enumerate(points.tolist())
            if score >= self.threshold
        ]

    def _points(self, outputs: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        values = np.asarray(outputs[self.output], np.float32)
        if values.shape[-1] != 3:
            raise DataError(f"found an output of shape {list(values.shape)}, expected [1, 1, points, 3]")
        return values.reshape(-1, 3)

    def _peaks(self, outputs: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Return (y, x, score) of the highest value of every heat map, moved by its offset."""
        maps = np.asarray(outputs[self.output], np.float32)[0]
        height, width, count = maps.shape
        flat = maps.reshape(-1, count).argmax(axis=0)
        row, column = np.divmod(flat, width)
        score = sigmoid(maps[row, column, np.arange(count)])
        if self.offsets is None:
            return np.stack([(row + 0.5) / height, (column + 0.5) / width, score], axis=1).astype(np.float32)
        offset = np.asarray(outputs[self.offsets], np.float32)[0][row, column]
        y = row * self.stride + offset[np.arange(count), np.arange(count)]
        x = column * self.stride + offset[np.arange(count), np.arange(count) + count]
        # PoseNet's grid has its first and last value on the image's edges.
        full_height, full_width = max(1, (height - 1) * self.stride), max(1, (width - 1) * self.stride)
        return np.stack([y / full_height, x / full_width, score], axis=1).astype(np.float32)
