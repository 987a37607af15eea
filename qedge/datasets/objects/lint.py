"""What is wrong with labelled boxes: in other units, corners for centres, classes from one, outside the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

import numpy as np

from qedge.datasets.objects.truth import Labelled, Truth
from qedge.errors import DataError
from qedge.findings import Finding

OUTSIDE = 1.0  # pixels that a box may pass the edge by rounding
MANY = 0.2
FEW = 2
"""Boxes that may be wrong whatever the share."""
FARTHEST = 1e9
SHARES = 1.5
"""What shares of a photo, from 0 to 1, do not reach."""


def is_coordinate(value: object) -> TypeGuard[float]:
    """Return whether a value of a file can be a coordinate: a finite number, and none that no photo reaches."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < FARTHEST


def checked(found: Labelled) -> Labelled:
    """Return labels whose boxes lie within their photos, with what had to be changed or looks wrong.

    Raises:
        DataError: hardly any box can be right, or a class has no name.
    """
    truths, findings = [], list(found.findings)
    boxes = sum(len(t.boxes) for t in found.truths)
    outside = empty = 0
    for truth in found.truths:
        _named(found, truth)
        if not (np.abs(truth.boxes) < FARTHEST).all():
            raise DataError(f"{truth.image}: a box has a side that is no number")
        limit = np.array([truth.width, truth.height] * 2)
        low = truth.boxes < -OUTSIDE
        outside += int((low | (truth.boxes > limit + OUTSIDE)).any(axis=1).sum())
        inside = np.clip(truth.boxes, 0, limit)
        good = np.asarray((inside[:, 2:] > inside[:, :2]).all(axis=1), bool)
        empty += int((~good).sum())
        truths.append(replace(truth, boxes=inside).only(good))
    if boxes:
        _plausible(found, boxes, outside, empty)
    if outside:
        findings.append(
            _warning(f"{outside} of {boxes} boxes reach outside their photos, and are cut to them")
        )
    if empty:
        findings.append(
            _warning(f"{empty} of {boxes} boxes have no area within their photos, and are left out")
        )
    used = {int(c) for t in truths for c in t.classes}
    one_off = used and 0 not in used and max(used) == len(found.names) - 1
    if found.form == "YOLO" and len(found.names) > 1 and one_off:  # the others name their classes
        findings.append(
            _warning(
                f"no object is of the first class, {found.names[0]!r}: are the classes numbered from one?"
            )
        )
    bare = sum(not len(t.boxes) for t in truths)
    told = f"{found.form}: {boxes - empty} boxes of {len(used)} classes on {len(truths)} photos"
    findings.append(Finding("info", "boxes", f"{told}, {bare} of them without any object"))
    return replace(found, truths=tuple(truths), findings=tuple(findings))


def _plausible(found: Labelled, boxes: int, outside: int, empty: int) -> None:
    """Raise where the numbers of the boxes look like others than those that are expected.

    Raises:
        DataError: says what they look like.
    """
    every = np.concatenate([t.boxes for t in found.truths])
    sides, middles = every[:, 2:] - every[:, :2], (every[:, 2:] + every[:, :2]) / 2
    start = middles if found.form == "YOLO" else every[:, :2]
    as_corners = bool((sides > start).all())  # of corners the second is behind the first
    areas = np.concatenate([t.areas for t in found.truths])
    of_corners = as_corners and bool(np.isclose(areas, (sides - start).prod(axis=1), rtol=0.02).mean() > 0.8)
    hint = "check the order and the units of the numbers, and that each label belongs to its photo"
    if of_corners:
        raise DataError(f"{boxes} boxes ({found.form}) are {_meant(found)}", hint=hint)
    if outside > MANY * boxes and (as_corners or outside > FEW):
        raise DataError(
            f"{outside} of {boxes} boxes ({found.form}) reach outside their photos: {_meant(found)}",
            hint=hint,
        )
    if empty > MANY * boxes and empty > FEW:
        raise DataError(
            f"{empty} of {boxes} boxes ({found.form}) have no area: sizes, where corners are expected?",
            hint=hint,
        )
    if every.max() <= SHARES and min(min(t.height, t.width) for t in found.truths) > 4 * SHARES:
        raise DataError(
            f"no box ({found.form}) reaches beyond {every.max():.3g} pixels: shares of the photo, where pixels are"
            " expected?",
            hint=hint,
        )


def yolo_units(values: Sequence[Sequence[float]], where: str) -> None:
    """Raise for numbers of a YOLO file that are no shares of the photo.

    Raises:
        DataError: says what they look like.
    """
    table = np.asarray(values, np.float64).reshape(-1, 4)
    if table.size and table.max() > SHARES:
        raise DataError(
            f"{where}: found {table.max():g}, expected shares of the photo from 0 to 1",
            hint="YOLO's numbers are normalised: divide by the photo's width and height",
        )


def _named(found: Labelled, truth: Truth) -> None:
    if len(truth.classes) and not 0 <= truth.classes.min() <= truth.classes.max() < len(found.names):
        wrong = int(truth.classes.max() if truth.classes.max() >= len(found.names) else truth.classes.min())
        hint = "classes are numbered from 0" if wrong == len(found.names) else "name every class"
        raise DataError(f"{truth.image.name}: the class {wrong} of {len(found.names)} has no name", hint=hint)


def _meant(found: Labelled) -> str:
    """Return what boxes that are mostly wrong look like."""
    boxes = np.concatenate([t.boxes for t in found.truths])
    if found.form == "YOLO":
        return "corners (left, top, right, bottom), where centre and size are expected?"
    sides = np.concatenate([np.tile([t.width, t.height], (len(t.boxes), 1)) for t in found.truths])
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    if (corners[:, 2:] <= sides + OUTSIDE).all() and (corners[:, 2:] >= corners[:, :2]).all():
        return "corners, where left, top, width and height are expected?"
    return "of other photos, or of the photos at another size?"


def _warning(message: str) -> Finding:
    return Finding("warning", "boxes", message)
