"""Masks of objects as Ultralytics' segmentation models have them: weights an object, of maps that all objects share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qedge.processing.detection.grids import Floats

Run = tuple[float, float, float, float]


def mask_runs(coefficients: Floats, prototypes: Floats, box: Floats) -> tuple[Run, ...]:
    """Return an object's mask as rectangles (top, left, bottom, right), 0 to 1 of the model's input.

    They do not overlap: each is a run of a row of the maps, as high as the rows below that have the same one.

    Args:
        coefficients: (masks,) of the object.
        prototypes: (height, width, masks), maps over the whole input; their weighted sum is above 0 where it is.
        box: (top, left, bottom, right), 0 to 1, outside which nothing counts.
    """
    height, width = prototypes.shape[:2]
    sides = np.array([height, width, height, width])
    top, left, bottom, right = np.clip(np.ceil(np.clip(box, 0, 1) * sides), 0, sides).astype(int).tolist()
    inside = prototypes[top:bottom, left:right] @ coefficients > 0
    # A row without any run ends those that are open.
    edges = np.diff(np.pad(inside, ((0, 1), (1, 1))).astype(np.int8), axis=1)
    found: list[Run] = []
    open_runs: dict[tuple[int, int], int] = {}
    for row, steps in enumerate(edges):
        starts, ends = (np.flatnonzero(steps == k).tolist() for k in (1, -1))
        now = set(zip(starts, ends))
        for a, b in [run for run in open_runs if run not in now]:
            first = open_runs.pop((a, b))
            found.append(
                ((top + first) / height, (left + a) / width, (top + row) / height, (left + b) / width)
            )
        for run in sorted(now):
            open_runs.setdefault(run, row)
    return tuple(found)
