"""What the decoders share: places on grids of several strides, and the places whose score is worth decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qedge.errors import DataError
from qedge.processing.classify import sigmoid

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.detect import Detect

    Floats = npt.NDArray[np.float32]
    Places = npt.NDArray[np.intp]


ROUNDING = 1e-6
"""Of a stride that is no whole number of pixels, as the share of a cell."""


class Candidates(NamedTuple):
    """Boxes before suppression: float32 (n, 4) as (top, left, bottom, right), 0 to 1 of the model's input.

    ``points``, where the model has key points: float32 (n, points, 3) as (y, x, score), 0 to 1. ``masks``, where it
    has masks: the weights of each object, float32 (n, masks). ``turned``, where boxes have an angle: float32 (n, 5) as
    (x, y, w, h, angle) in pixels; ``boxes`` are around them then, and ``points`` their corners.
    """

    boxes: Floats
    classes: Places
    scores: Floats
    points: Floats | None = None
    masks: Floats | None = None
    turned: Floats | None = None


class Likely(NamedTuple):
    """Places whose best class reaches the threshold, and that class with its score."""

    places: Places
    classes: Places
    scores: Floats


def rows(output: Floats, channel_axis: int = -1) -> Floats:
    """Return an output (1, ...) as (places, channels), row by row of the grid; a view where that is enough.

    Raises:
        DataError: it has no such axis.
    """
    values = np.asarray(output, np.float32)
    if values.ndim < 2 or values.shape[0] != 1:
        raise DataError(f"found an output of shape {list(values.shape)}, expected [1, places, channels]")
    if channel_axis == 1:
        return values.reshape(values.shape[1], -1).T
    return values.reshape(-1, values.shape[-1])


def least_logit(threshold: float) -> float:
    """Return the logit of a probability; infinite at 0 and 1.

    >>> least_logit(0.5), least_logit(0)
    (0.0, -inf)
    """
    with np.errstate(divide="ignore"):
        return float(np.log(threshold) - np.log1p(-threshold))


def likely(scores: Floats, logits: bool, threshold: float, limit: int | None = None) -> Likely:
    """Return the places whose best class reaches the threshold; only there is the rest worth decoding.

    Args:
        scores: (places, classes).
        logits: whether they are logits of independent classes; else probabilities.
        threshold: least probability.
        limit: at most so many places, and then every class of theirs that reaches the threshold: what a head that
            is trained to give each object once asks for.
    """
    least = least_logit(threshold) if logits else threshold
    classes = scores.shape[1]
    if scores.flags.c_contiguous:
        found = np.flatnonzero(scores.reshape(-1) >= least) // classes
        places = found[np.flatnonzero(np.diff(found, prepend=-1))]
    else:
        places = np.flatnonzero(scores.max(axis=1) >= least)
    picked = scores[places]
    if limit is not None:
        best = np.argsort(-picked.max(axis=1, initial=-np.inf), kind="stable")[:limit]
        places, picked = places[best], picked[best]
        row, column = np.nonzero(picked >= least)
        confidence = picked[row, column]
        return Likely(places[row], column, sigmoid(confidence) if logits else confidence)
    column = picked.argmax(axis=1)
    confidence = picked[np.arange(len(picked)), column]
    return Likely(places, column, sigmoid(confidence) if logits else confidence)


def surest(found: Likely, limit: int) -> Likely:
    """Return the ``limit`` surest in their old order: what suppression looks at."""
    if len(found.places) <= limit:
        return found
    best = np.sort(np.argpartition(-found.scores, limit)[:limit])
    return Likely(found.places[best], found.classes[best], found.scores[best])


@lru_cache(maxsize=8)
def grid(input_size: tuple[int, ...], strides: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return corner (x, y) in cells, and stride in pixels, of every cell of every level: float32 (n, 2) and (n, 1)."""
    cells, steps = [], []
    for stride in strides:
        height, width = (math.ceil(side / stride - ROUNDING) for side in input_size)
        y, x = np.mgrid[:height, :width]
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        steps.append(np.full((height * width, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


@lru_cache(maxsize=4)
def anchor_grid(
    input_size: tuple[int, ...],
    strides: tuple[float, ...],
    sizes: tuple[float, ...],
    counts: tuple[int, ...] = (),
) -> tuple[Floats, Floats, Floats]:
    """Return cell (x, y), stride and size (w, h) in pixels of every anchor: float32 (n, 2), (n, 1) and (n, 2).

    Those of a cell lie next to each other.

    Args:
        sizes: (w, h) in pixels of every anchor, level by level.
        counts: how many anchors each level has; (): all as many.
    """
    each = counts or (len(sizes) // 2 // len(strides),) * len(strides)
    pairs = np.array(sizes, np.float32).reshape(-1, 2)
    cells, steps, found, first = [], [], [], 0
    for stride, count in zip(strides, each):
        places, pixels = grid(input_size, (stride,))
        cells.append(np.repeat(places, count, axis=0))
        steps.append(np.repeat(pixels, count, axis=0))
        found.append(np.tile(pairs[first : first + count], (len(places), 1)))
        first += count
    return np.concatenate(cells), np.concatenate(steps), np.concatenate(found)


def centres_to_corners(centres: Floats, sizes: Floats, input_size: Sequence[int]) -> Floats:
    """Return (top, left, bottom, right), 0 to 1, from centres (x, y) and sizes (w, h) in pixels: float32 (n, 4)."""
    half: Floats = np.multiply(sizes, np.float32(0.5))
    return pixels_to_corners(np.concatenate([centres - half, centres + half], axis=1), input_size)


def pixels_to_corners(boxes: Floats, input_size: Sequence[int]) -> Floats:
    """Return (top, left, bottom, right), 0 to 1, from (left, top, right, bottom) in pixels: float32 (n, 4)."""
    sides = np.array([*input_size, *input_size], np.float32)
    found: Floats = np.divide(boxes[:, [1, 0, 3, 2]], sides)
    return found


def as_shares(marks: Floats, spec: Detect) -> Floats | None:
    """Return key points (n, points, 3) of x and y in pixels and a score as (y, x, score), 0 to 1; None without any."""
    if not marks.shape[1]:
        return None
    found: Floats = marks[..., [1, 0, 2]]
    found[..., :2] /= np.array(spec.input_size, np.float32)
    return found


def require_places(found: int, expected: int, form: str) -> None:
    """Raise where a model has another number of places than its strides make.

    Raises:
        DataError: says both.
    """
    if found != expected:
        raise DataError(
            f"{form}: the model's outputs have {found} places, input_size and strides make {expected}",
            hint="state input_size and strides as the model was trained with, and channel_axis where the channels are"
            " not last",
        )
