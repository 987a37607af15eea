"""What a detector gains by ending before its decoding: signal to noise of scores and boxes, with and without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.errors import QedgeError
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import Candidates
from qedge.quantize import quantize
from qedge.quantize.compare import Sqnr
from qedge.quantize.heads.cut import Cut
from qedge.quantize.heads.probe import in_order
from qedge.quantize.interpreter import Runner
from qedge.quantize.options import QuantizeOptions

SAMPLES = 8
CHOSEN = 100
"""Places of an image that are compared: those that the float model is surest of."""


@dataclass(frozen=True)
class Decibels:
    """SQNR of scores, and of box corners, of the places that the float model is surest of."""

    scores: float
    boxes: float


@dataclass(frozen=True)
class Gain:
    """Both int8 forms by the same method.

    Args:
        whole: the int8 model with its decoding; None where it has no int8 form.
        cut: the int8 model without it.
        before: of ``whole``.
        after: of ``cut``.
    """

    whole: bytes | None
    cut: bytes
    before: Decibels | None
    after: Decibels
    samples: int


def gain(model: bytes, cut: Cut, dataset: Dataset) -> Gain:
    """Return both int8 forms with min-max ranges, and their figures on a few samples."""
    few = dataset.subset(np.linspace(0, len(dataset) - 1, min(SAMPLES, len(dataset))).round().astype(int))
    options = QuantizeOptions(method="minmax", mixed=False)
    try:
        whole: bytes | None = quantize(model, few, options).data
    except QedgeError:
        whole = None
    ended = quantize(cut.data, few, options).data
    real = Runner(cut.data)
    expected = [_everything(cut.postprocess, real.predict(few[i])) for i in range(len(few))]
    before = None if whole is None else _measured(whole, cut.whole, few, expected, cut)
    return Gain(whole, ended, before, _measured(ended, cut.postprocess, few, expected), len(few))


def _everything(spec: Detect, outputs: Sequence[npt.NDArray[Any]]) -> Candidates:
    """Return what each place says, in the order of places: a head that needs no suppression would sort them first."""
    return spec.replace(threshold=0.0, candidates=1 << 30, suppress=True).decode(outputs)


def nearest(wanted: Candidates, found: Candidates) -> npt.NDArray[np.intp]:
    """Return for each row of ``wanted`` that of ``found`` whose box is next to it, of its class where there are any."""
    apart = np.abs(wanted.boxes[:, None] - found.boxes[None]).sum(axis=2)
    rows: npt.NDArray[np.intp] = (apart + (wanted.classes[:, None] != found.classes[None])).argmin(axis=1)
    return rows


def _measured(
    model: bytes, spec: Detect, few: Dataset, expected: list[Candidates], cut: Cut | None = None
) -> Decibels:
    scores, boxes, runner = Sqnr(), Sqnr(), Runner(model)
    for i, wanted in enumerate(expected):
        outputs = runner.predict(few[i])
        if cut is not None and cut.view is not None:
            outputs = cut.view.together(outputs)
        found = in_order(_everything(spec, outputs), None if cut is None else cut.order)
        best = np.argsort(-wanted.scores, kind="stable")[:CHOSEN]
        place = best
        if len(found.scores) != len(wanted.scores):
            # Rows that the model chose itself have an order of their own.
            if not len(found.scores):
                continue
            some = Candidates(wanted.boxes[best], wanted.classes[best], wanted.scores[best])
            place = nearest(some, found)
        scores.add(wanted.scores[best], found.scores[place])
        boxes.add(wanted.boxes[best], found.boxes[place])
    return Decibels(scores.db, boxes.db)
