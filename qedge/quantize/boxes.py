"""Objects that two detectors find in the same image, matched box by box: agreement where SQNR says little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.processing.detect import Detect, Detection
from qedge.quantize.figures import OutputFigures
from qedge.quantize.intervals import f1, f1_interval

Array = npt.NDArray[Any]

SAME_BOX = 0.5  # intersection over union


class ObjectTally:
    """Adds up the agreement of the objects that both models find, one sample at a time.

    Args:
        detect: the post-processing that turns outputs into objects.
    """

    def __init__(self, detect: Detect) -> None:
        self.detect = detect
        self._counts: list[tuple[int, int, int]] = []

    def add(self, expected: Sequence[Array], found: Sequence[Array]) -> None:
        """Take in the outputs of both models for one sample."""
        first, second = (
            self.detect.apply([np.asarray(o, np.float32) for o in outputs], ())
            for outputs in (expected, found)
        )
        same = matched(first, second)
        self._counts.append((same, len(second) - same, len(first) - same))

    def result(self) -> OutputFigures:
        """Return the figures under the name ``objects``: F1 of the matched boxes; no agreement where there are none."""
        counts = np.array(self._counts).reshape(-1, 3)
        base = OutputFigures("objects", "boxes", len(counts), math.inf, None)
        if not counts.any():
            return base
        return OutputFigures(
            "objects",
            "boxes",
            len(counts),
            math.inf,
            None,
            agreement=f1(counts),
            agreement_interval=f1_interval(counts),
        )


def matched(first: Sequence[Detection], second: Sequence[Detection]) -> int:
    """Return how many objects of ``first``, the surest first, have one of their own in ``second``.

    The same label, and boxes whose intersection is at least half of their union.

    >>> cat = Detection("cat", 0.9, (0.0, 0.0, 0.5, 0.5))
    >>> matched([cat], [cat, cat]), matched([cat, cat], [cat])
    (1, 1)
    """
    left = list(second)
    same = 0
    for wanted in sorted(first, key=lambda d: -d.score):
        likely = [d for d in left if d.label == wanted.label and overlap(d.box, wanted.box) >= SAME_BOX]
        if likely:
            left.remove(max(likely, key=lambda d: overlap(d.box, wanted.box)))
            same += 1
    return same


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return intersection over union of two boxes (top, left, bottom, right); 0 where neither has an area.

    >>> overlap((0, 0, 1, 1), (0, 0.5, 1, 1.5))
    0.3333333333333333
    """
    height = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    width = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = height * width
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0
