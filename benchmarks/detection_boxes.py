"""Boxes of detectors side by side, for ``detection.py``: which are the same, and how much they say."""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.processing.detect import Detect
from qedge.processing.detection.nms import overlaps
from qedge.quantize.interpreter import Runner

SAME_BOX = 0.9
SUREST = 50


def matched(wanted: np.ndarray, found: np.ndarray, least: float = SAME_BOX) -> int:
    """Return how many rows (left, top, right, bottom, score, class) of ``wanted`` ``found`` has too."""
    free, same = np.ones(len(found), bool), 0
    order = [1, 0, 3, 2]
    for row in wanted[np.argsort(-wanted[:, 4])]:
        shared = overlaps(row[order].astype(np.float32), found[:, order].astype(np.float32))
        shared = np.where(free & (found[:, 5] == row[5]), shared, 0)
        if len(shared) and shared.max() >= least:
            free[shared.argmax()] = False
            same += 1
    return same


def rows(outputs: Any, spec: Detect, side: int) -> np.ndarray:
    """Return the objects of a model's outputs as the package gives them: (n, 6)."""
    found = spec.apply(outputs, [str(k) for k in range(80)])
    listed = [
        [d.box[1] * side, d.box[0] * side, d.box[3] * side, d.box[2] * side, d.score, int(d.label)]
        for d in found
    ]
    return np.array(listed, np.float32).reshape(-1, 6)


def variety(found: list[np.ndarray]) -> dict[str, Any]:
    """Return what tells whether boxes say anything about their images: how many classes there are, and shares.

    Of boxes, in percent: ``again``: the next image has them too; ``alike``: they would match with the next one's sides.
    """
    again = sum(matched(one, other) for one, other in zip(found, [*found[1:], found[0]]))
    alike = 0
    for rows in found:
        middles, sides = (rows[:, :2] + rows[:, 2:4]) / 2, np.roll(rows[:, 2:4] - rows[:, :2], 1, axis=0)
        swapped = np.concatenate([middles - sides / 2, middles + sides / 2, rows[:, 4:]], axis=1)
        alike += sum(matched(rows[k : k + 1], swapped[k : k + 1]) for k in range(len(rows)))
    boxes = np.concatenate(found)
    shares = {"again": again, "alike": alike}
    shared = {key: round(100 * count / max(1, len(boxes)), 1) for key, count in shares.items()}
    return {"classes": len(np.unique(boxes[:, 5])), **shared}


def surest(ended: Any, images: np.ndarray) -> float:
    """Return the score that SUREST places an image reach on average in the float model."""
    runner, spec = Runner(ended.data, threads=1), ended.postprocess.replace(threshold=0.0, candidates=1 << 30)
    scores = [spec.decode(runner.predict([x[None].astype(np.float32) / 255])).scores for x in images]
    return float(np.sort(np.concatenate(scores))[-SUREST * len(images)])
