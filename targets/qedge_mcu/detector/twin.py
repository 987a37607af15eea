"""What `<model>_detect` gives, in Python: the same integers, from the same plan, in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qedge_mcu.detector.plan import DISTANCE_BITS, IOU_BITS, PIXEL, Distances, Grid, Level, Plan

Codes = npt.NDArray[np.int8]


class Object(NamedTuple):
    """One object as C has it: corners in sixteenths of a pixel, score 0 to 65535, number of its label."""

    left: int
    top: int
    right: int
    bottom: int
    score: int
    label: int


def detect(planned: Plan, outputs: Sequence[Codes]) -> list[Object]:
    """Return the objects in a model's outputs, the surest first."""
    if planned.grid is not None:
        seen = _patches(planned, planned.grid, outputs[planned.grid.scores.output])
    else:
        seen = [
            o
            for level in planned.levels
            for o in _places(planned, level, outputs[level.distances.output], outputs[level.scores.output])
        ]
    seen = sorted(seen, key=lambda o: -o.score)[: planned.candidates]
    if planned.iou is not None:
        seen = _suppressed(planned, seen)
    right, bottom = planned.width * PIXEL, planned.height * PIXEL
    return [
        Object(
            min(max(o.left, 0), right),
            min(max(o.top, 0), bottom),
            min(max(o.right, 0), right),
            min(max(o.bottom, 0), bottom),
            o.score,
            o.label,
        )
        for o in seen[: planned.limit]
    ]


def _places(planned: Plan, level: Level, boxes: Codes, scores: Codes) -> list[Object]:
    """Return the places of a level that reach the threshold; their best class, or all where nothing is suppressed."""
    table = np.asarray(scores, np.int64).reshape(-1, level.scores.classes)
    sides = np.asarray(boxes, np.int64).reshape(len(table), 4, level.distances.bins)
    reached = table >= level.scores.least
    if planned.iou is not None:
        reached &= np.arange(table.shape[1]) == table.argmax(axis=1)[:, None]
    found = []
    for place, label in zip(*(axis.tolist() for axis in np.nonzero(reached))):
        row, column = divmod(place, level.width)
        x, y = ((2 * k + 1) * level.stride * (PIXEL // 2) for k in (column, row))
        left, top, right, bottom = (_distance(level.distances, level.stride, codes) for codes in sides[place])
        corners = np.clip([x - left, y - top, x + right, y + bottom], -(1 << 15), (1 << 15) - 1).tolist()
        score = int(level.scores.table[table[place, label] - level.scores.least])
        found.append(Object(corners[0], corners[1], corners[2], corners[3], score, label))
    return found


def _distance(distances: Distances, stride: int, codes: npt.NDArray[np.int64]) -> int:
    if distances.bins == 1:
        raised = (int(codes[0]) - distances.zero_point) * distances.multiplier
        return (raised + (1 << (DISTANCE_BITS - 1))) >> DISTANCE_BITS
    weights = distances.table[codes.max() - codes].astype(np.int64)
    total, weighted = int(weights.sum()), int(weights @ np.arange(distances.bins))
    return (weighted * stride * PIXEL + total // 2) // total


def _patches(planned: Plan, grid: Grid, scores: Codes) -> list[Object]:
    """Return the patches of touching cells, class by class, in the order of their last cells."""
    table = np.asarray(scores, np.int64).reshape(grid.height, grid.width, grid.scores.classes)
    found = []
    for channel in range(grid.first, grid.scores.classes):
        codes = table[..., channel]
        patches = _numbered(codes >= grid.scores.least)
        for last in np.unique(patches[patches > 0]).tolist():
            row, column = np.nonzero(patches == last)
            width, height = planned.width * PIXEL, planned.height * PIXEL
            corners = (
                _share(int(column.min()), width, grid.width),
                _share(int(row.min()), height, grid.height),
                _share(int(column.max()) + 1, width, grid.width),
                _share(int(row.max()) + 1, height, grid.height),
            )
            best = int(codes[row, column].max())
            score = int(grid.scores.table[best - grid.scores.least])
            found.append(Object(*corners, score, channel - grid.first))
    return found


def _numbered(on: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return for every cell the number of the last cell of its patch, from 1; 0 where it is off."""
    patches = np.where(on, np.arange(1, on.size + 1).reshape(on.shape), 0)
    while True:
        framed = np.pad(patches, 1)
        around = [framed[i : i + on.shape[0], j : j + on.shape[1]] for i in range(3) for j in range(3)]
        spread: Any = np.where(on, np.max(around, axis=0), 0)
        if np.array_equal(spread, patches):
            return np.asarray(patches, np.int64)
        patches = spread


def _share(cells: int, whole: int, of: int) -> int:
    return (2 * cells * whole + of) // (2 * of)


def _suppressed(planned: Plan, seen: Sequence[Object]) -> list[Object]:
    kept: list[Object] = []
    for one in seen:
        if len(kept) == planned.limit:
            break
        if not any(
            (o.label == one.label or not planned.per_class) and _overlap(planned, o, one) for o in kept
        ):
            kept.append(one)
    return kept


def _overlap(planned: Plan, a: Object, b: Object) -> bool:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0 or planned.iou is None:
        return False
    shared = width * height
    return (shared << IOU_BITS) > (_area(a) + _area(b) - shared) * planned.iou


def _area(o: Object) -> int:
    return max(0, o.right - o.left) * max(0, o.bottom - o.top)
