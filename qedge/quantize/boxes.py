"""Objects that two detectors find in the same image: how they agree box by box, and with labels their mAP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.objects import ObjectDataset, Truth, objects_of
from qedge.datasets.protocol import Dataset
from qedge.processing.detect import Detect, Detection, in_pixels
from qedge.processing.detection.nms import overlaps
from qedge.processing.image import ImagePreprocess
from qedge.quantize.figures import OutputFigures
from qedge.quantize.intervals import f1, f1_interval
from qedge.quantize.precision import MOST, Found, Precision, average_precision

Array = npt.NDArray[Any]

SAME_BOX = 0.5  # intersection over union
SAME_BOXES = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
LEAST_SCORE = 0.001  # of the boxes that mAP looks at, as COCO's tools do
LITTLE = 0.1
"""An mAP50 of the float model under which it is asked whether it calls what it finds otherwise."""
FEWEST_OBJECTS = 20  # of which that is asked


class Objects:
    """What an :class:`ObjectTally` gathers: lists with an entry a sample, or a pair of boxes."""

    def __init__(self) -> None:
        self.counts: list[list[tuple[int, int, int]]] = []
        self.apart: list[float] = []
        self.seen: list[Truth] = []
        self.found: tuple[list[Found], list[Found]] = ([], [])

    def merge(self, later: Objects) -> None:
        """Take in what was gathered of later samples."""
        self.counts += later.counts
        self.apart += later.apart
        self.seen += later.seen
        for mine, others in zip(self.found, later.found):
            mine += others


class ObjectTally:
    """Adds up the agreement of the objects that both models find, one sample at a time, or several that others added.

    Args:
        detect: the post-processing that turns outputs into objects.
        dataset: the samples; mAP is measured where they have labelled objects.
    """

    def __init__(self, detect: Detect, dataset: Dataset | None = None) -> None:
        self.detect = detect
        self._all = Objects()
        labelled = None if dataset is None else objects_of(dataset)
        self._labelled: ObjectDataset | None = None if labelled is None else labelled[0]
        self._truths: list[Truth] = [] if labelled is None else labelled[1]

    def take(self) -> Objects:
        """Return what was gathered, and begin anew."""
        found, self._all = self._all, Objects()
        return found

    def merge(self, later: Objects) -> None:
        """Take in what another tally gathered of later samples."""
        self._all.merge(later)

    def add(self, expected: Sequence[Array], found: Sequence[Array], i: int = 0) -> None:
        """Take in the outputs of both models for sample ``i``."""
        outputs = [[np.asarray(o, np.float32) for o in model] for model in (expected, found)]
        first, second = (self.detect.apply(model, ()) for model in outputs)
        counts = []
        for least in SAME_BOXES:
            pairs = matches(first, second, least)
            counts.append((len(pairs), len(second) - len(pairs), len(first) - len(pairs)))
            if least == SAME_BOX:
                self._all.apart += [abs(a.score - b.score) for a, b in pairs]
        self._all.counts.append(counts)
        if self._labelled is not None:
            truth = self._truths[i]
            self._all.seen.append(truth)
            for model, listed in zip(outputs, self._all.found):
                listed.append(self._in_photo(model, truth, self._labelled.preprocess))

    def _in_photo(self, outputs: Sequence[Array], truth: Truth, preprocess: Any) -> Found:
        every = self.detect.replace(threshold=LEAST_SCORE, limit=MOST)
        found = every.apply(outputs, ())
        if isinstance(preprocess, ImagePreprocess):
            found = in_pixels(found, preprocess, truth.height, truth.width)
        boxes = np.array([[d.box[k] for k in (1, 0, 3, 2)] for d in found], np.float64).reshape(-1, 4)
        classes = np.array([int(d.label) for d in found], np.int64)
        return Found(boxes, classes, np.array([d.score for d in found], np.float64))

    def result(self) -> OutputFigures:
        """Return the figures under the name ``objects``: F1 of the matched boxes, and mAP50-95 of labelled ones.

        Without agreement where neither model finds anything.
        """
        counts = np.array(self._all.counts).reshape(-1, len(SAME_BOXES), 3)
        told: dict[str, Any] = {}
        base = OutputFigures("objects", "boxes", len(counts), math.inf, None)
        half = counts[:, 0]
        if half.any():
            every = [f1(counts[:, k]) for k in range(len(SAME_BOXES))]
            told["agreement_50_95"] = float(np.mean(every))
            told["score_difference"] = float(np.mean(self._all.apart)) if self._all.apart else None
            base = replace(base, agreement=f1(half), agreement_interval=f1_interval(half))
        if self._labelled is not None:
            before, after = (
                average_precision(self._all.seen, found, self._labelled.labelled.names)
                for found in self._all.found
            )
            told |= {"float": _told(before), "int8": _told(after)}
            if (before.map50 or 0.0) < LITTLE and sum(len(t.boxes) for t in self._all.seen) >= FEWEST_OBJECTS:
                told["float"]["map50_any_class"] = self._of_any_class()
            if before.map50_95 is not None and after.map50_95 is not None:
                base = replace(
                    base,
                    metric="map",
                    float_metric=before.map50_95,
                    quantized_metric=after.map50_95,
                    drop=before.map50_95 - after.map50_95,
                )
        return replace(base, boxes=told or None)

    def _of_any_class(self) -> float | None:
        """Return the float model's mAP50 where what a box is called does not count."""
        truths = [replace(t, classes=np.zeros_like(t.classes)) for t in self._all.seen]
        found = [replace(f, classes=np.zeros_like(f.classes)) for f in self._all.found[0]]
        return average_precision(truths, found, ("object",)).map50


def _told(found: Precision) -> dict[str, Any]:
    return {
        "map50_95": found.map50_95,
        "map50": found.map50,
        "by_size": dict(found.by_size),
        "by_class": dict(found.by_class),
        "curve": list(found.curve),
    }


def matches(
    first: Sequence[Detection], second: Sequence[Detection], least: float = SAME_BOX
) -> list[tuple[Detection, Detection]]:
    """Return objects of ``first``, the surest first, each with one of its own in ``second``.

    The same label, and boxes whose intersection is at least ``least`` of their union; of several the one that
    overlaps most.

    >>> cat = Detection("cat", 0.9, (0.0, 0.0, 0.5, 0.5))
    >>> len(matches([cat], [cat, cat])), len(matches([cat, cat], [cat]))
    (1, 1)
    """
    if not first or not second:
        return []
    boxes, others = (np.array([d.box for d in model], np.float32) for model in (first, second))
    names = np.array([d.label for d in second])
    shared = overlaps(boxes[:, None], others)
    free, found = np.ones(len(second), bool), []
    for k in np.argsort([-d.score for d in first], kind="stable"):
        fits = np.where(free & (names == first[k].label), shared[k], -1.0)
        best = int(fits.argmax())
        if fits[best] >= least:
            free[best] = False
            found.append((first[k], second[best]))
    return found
