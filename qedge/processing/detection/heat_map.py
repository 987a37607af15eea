"""Heat maps of centres (CenterNet, arXiv 1904.07850; CenterFace) and grids of classes (FOMO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qedge.processing.classify import sigmoid, softmax
from qedge.processing.detection.grids import Candidates, Likely, centres_to_corners, surest

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.detect import Detect
    from qedge.processing.detection.grids import Floats


def centres(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return a box at every peak of (1, h, w, classes) that reaches the threshold.

    A peak is no lower than its eight neighbours. ``boxes`` has sizes (w, h), ``count`` offsets (x, y) of the centre
    in its cell, both (1, h, w, 2) in cells.
    """
    heat = np.asarray(outputs[spec.scores_output], np.float32)[0]
    heat = sigmoid(heat) if spec.score_form == "sigmoid" else heat
    sizes, offsets = (np.asarray(outputs[k], np.float32)[0] for k in (spec.boxes, spec.count))
    row, column, classes = np.nonzero((heat >= spec.threshold) & (heat == _highest_around(heat)))
    cell = np.array(spec.input_size[::-1], np.float32) / np.array(heat.shape[1::-1], np.float32)
    middles = (np.stack([column, row], axis=1) + offsets[row, column]) * cell
    corners = centres_to_corners(
        middles.astype(np.float32), (sizes[row, column] * cell).astype(np.float32), spec.input_size
    )
    return Candidates(corners, classes, heat[row, column, classes])


def faces(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return a box at every cell of CenterFace's map (arXiv 1911.03599) that reaches the threshold.

    ``boxes`` has the logarithms of sizes in cells, ``count`` offsets from the middle of the cell, ``point_outputs`` the
    key points as shares of the box; each (1, h, w, ...) with y before x.
    """
    heat = np.asarray(outputs[spec.scores_output], np.float32)[0]
    heat = sigmoid(heat) if spec.score_form == "sigmoid" else heat
    row, column, classes = np.nonzero(heat >= spec.threshold)
    scores = heat[row, column, classes]
    best = surest(Likely(np.arange(len(row)), classes, scores), spec.candidates)
    row, column = row[best.places], column[best.places]
    shape = np.array(heat.shape[:2], np.float32)
    sizes, offsets = (np.asarray(outputs[k], np.float32)[0, row, column] for k in (spec.boxes, spec.count))
    sizes = np.exp(sizes) / shape
    middles = (np.stack([row, column], axis=1) + offsets + np.float32(0.5)) / shape
    corners = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1).astype(np.float32)
    if not spec.points:
        return Candidates(corners, best.classes, best.scores)
    shares = np.asarray(outputs[spec.point_outputs[0]], np.float32)[0, row, column]
    spots = shares.reshape(len(row), spec.points, 2) * sizes[:, None] + corners[:, None, :2]
    sure = np.broadcast_to(best.scores[:, None, None], (*spots.shape[:2], 1))
    return Candidates(
        corners, best.classes, best.scores, np.concatenate([spots, sure], axis=2).astype(np.float32)
    )


def cells(spec: Detect, outputs: Sequence[Floats]) -> Candidates:
    """Return a box around every patch of touching cells of one class, in (1, h, w, classes) of ``scores_output``.

    The score is the patch's highest. With ``background``, class 0 is none.
    """
    grid = np.asarray(outputs[spec.scores_output], np.float32)[0]
    how = {"sigmoid": sigmoid, "softmax": softmax}.get(spec.score_form, np.asarray)
    scores = how(grid)[:, :, 1:] if spec.background else how(grid)
    height, width, count = scores.shape
    boxes, classes, best = [], [], []
    for label in range(count):
        patches = _patches(scores[:, :, label] >= spec.threshold)
        for patch in range(1, int(patches.max(initial=0)) + 1):
            row, column = np.nonzero(patches == patch)
            boxes.append(
                (
                    row.min() / height,
                    column.min() / width,
                    (row.max() + 1) / height,
                    (column.max() + 1) / width,
                )
            )
            classes.append(label)
            best.append(scores[row, column, label].max())
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.intp), np.array(best, np.float32)
    )


def _highest_around(heat: Floats) -> Floats:
    """Return the highest of each value and its eight neighbours: (h, w, classes)."""
    framed = np.pad(heat, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    height, width = heat.shape[:2]
    tall = np.maximum(np.maximum(framed[:height], framed[1:-1]), framed[2:])
    found: Floats = np.maximum(np.maximum(tall[:, :width], tall[:, 1:-1]), tall[:, 2:])
    return found


def _patches(on: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the number of the patch that each cell belongs to, from 1; 0 where ``on`` is false. Corners touch."""
    height, width = on.shape
    label = np.where(on, np.arange(1, on.size + 1).reshape(on.shape), 0)
    while True:
        framed = np.pad(label, 1)
        spread = np.max([framed[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
        spread = np.where(on, spread, 0)
        if np.array_equal(spread, label):
            break
        label = spread
    names = np.unique(label[label > 0])
    found: npt.NDArray[np.intp] = np.where(on, np.searchsorted(names, label) + 1, 0)
    return found
