"""Segmentation: a class for every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qedge.errors import DataError
from qedge.processing.spec import Postprocess, is_int, is_number, require

if TYPE_CHECKING:
    import numpy.typing as npt


class Segment(Postprocess):
    """Return the class of every pixel of the model's output.

    Args:
        output: which of the model's outputs: (1, H, W, classes) scores, or (1, H, W) class numbers.
        threshold: with a single channel, the value from which a pixel is class 1.
    """

    kind: ClassVar[str] = "segment"

    output: int = 0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        require(is_int(self.output) and self.output >= 0, "output", self.output, "an integer of at least 0")
        require(is_number(self.threshold), "threshold", self.threshold, "a number")

    def apply(
        self, outputs: Sequence[npt.NDArray[np.float32]], labels: Sequence[str]
    ) -> npt.NDArray[np.int32]:
        """Return class numbers: int32 (H, W)."""
        values = np.asarray(outputs[self.output])
        if values.ndim == 3:
            return np.asarray(np.rint(values[0]), np.int32)
        if values.ndim != 4:
            raise DataError(f"found an output of shape {list(values.shape)}, expected [1, H, W, classes]")
        if values.shape[3] == 1:
            return np.where(values[0, :, :, 0] >= self.threshold, np.int32(1), np.int32(0))
        found: npt.NDArray[np.int32] = values[0].argmax(axis=-1).astype(np.int32)
        return found


def shares(mask: npt.NDArray[np.int32], labels: Sequence[str]) -> list[tuple[str, float]]:
    """Return (label, share of the pixels) of the classes in a mask, the largest first.

    >>> shares(np.int32([[0, 1], [1, 1]]), ["wall", "door"])
    [('door', 0.75), ('wall', 0.25)]
    """
    classes, counts = np.unique(mask, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        (
            labels[classes[k]] if 0 <= classes[k] < len(labels) else str(classes[k]),
            float(counts[k] / mask.size),
        )
        for k in order
    ]
