"""Mean average precision of boxes, as COCO defines it and by its own code (pycocotools)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.objects.truth import Truth
from qedge.errors import ToolError

SIZES = ("small", "medium", "large")
"""Under 32 x 32, under 96 x 96, and larger: pixels of the photo."""
MOST = 100
"""Detections an image that count."""


@dataclass(frozen=True)
class Found:
    """What a detector found in one photo: boxes float64 (n, 4) as (left, top, right, bottom) in pixels."""

    boxes: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Precision:
    """Average precision, 0 to 1; None where nothing of the kind is labelled.

    Args:
        map50_95: mean over overlaps of 0.5 to 0.95 and over the classes.
        map50: at an overlap of 0.5.
        by_size: ``map50_95`` of small, medium and large objects.
        by_class: ``map50_95`` by name.
        curve: precision at recalls of 0 to 1 in steps of 0.01, at an overlap of 0.5, mean over the classes.
    """

    map50_95: float | None
    map50: float | None
    by_size: Mapping[str, float | None]
    by_class: Mapping[str, float | None]
    curve: tuple[float, ...]


def average_precision(truths: Sequence[Truth], found: Sequence[Found], names: Sequence[str]) -> Precision:
    """Return the average precision of what was found in each photo.

    Args:
        truths: labelled objects, a photo each.
        found: in the same photos.
        names: of the classes, by number.

    Raises:
        ToolError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ToolError("mAP needs pycocotools", hint='pip install "qedge[detection]"') from None
    with contextlib.redirect_stdout(io.StringIO()):
        wanted, given = COCO(), COCO()
        images = [{"id": k, "height": t.height, "width": t.width} for k, t in enumerate(truths)]
        categories = [{"id": k, "name": name} for k, name in enumerate(names)]
        wanted.dataset = {"images": images, "categories": categories, "annotations": _annotations(truths)}
        given.dataset = {"images": images, "categories": categories, "annotations": _detections(found)}
        wanted.createIndex()
        given.createIndex()
        judge = COCOeval(wanted, given, "bbox")
        judge.evaluate()
        judge.accumulate()
    # precision: overlap x recall x class x size (all, small, medium, large) x most detections (1, 10, 100)
    table: npt.NDArray[Any] = judge.eval["precision"][..., -1]
    half = table[0, :, :, 0]
    known = half[:, half[0] > -1] if half.size else half
    return Precision(
        _mean(table[:, :, :, 0]),
        _mean(half),
        {name: _mean(table[:, :, :, k + 1]) for k, name in enumerate(SIZES)},
        {name: _mean(table[:, :, k, 0]) for k, name in enumerate(names)},
        tuple(known.mean(axis=1).tolist()) if known.size else (),
    )


def _annotations(truths: Sequence[Truth]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for k, truth in enumerate(truths):
        sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
        rows = np.concatenate([truth.boxes[:, :2], sides], axis=1).tolist()
        for box, label, crowd, area in zip(
            rows, truth.classes.tolist(), truth.crowd.tolist(), truth.areas.tolist()
        ):
            found.append(
                {
                    "id": len(found) + 1, "image_id": k, "category_id": label, "bbox": box, "iscrowd": int(crowd),
                    "area": area,
                }
            )  # fmt: skip
    return found


def _detections(found: Sequence[Found]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for k, one in enumerate(found):
        sides = one.boxes[:, 2:] - one.boxes[:, :2]
        rows = np.concatenate([one.boxes[:, :2], sides], axis=1).tolist()
        for box, label, score in zip(rows, one.classes.tolist(), one.scores.tolist()):
            made.append(
                {
                    "id": len(made) + 1, "image_id": k, "category_id": label, "bbox": box, "score": score,
                    "area": box[2] * box[3], "iscrowd": 0,
                }
            )  # fmt: skip
    return made


def _mean(values: npt.NDArray[Any]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None
