"""Outputs that an exporter took apart, put together again: boxes and scores by themselves, corners, the best class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SIDES = 4
MAP = 4
"""Dimensions of images in a batch."""
MOST_CHANNELS = 4
"""Of an image: an input with more behind its sides has them elsewhere."""


@dataclass(frozen=True)
class View:
    """One array (1, places, 4 + classes) of centres, sizes and scores, from what a model gives.

    Args:
        boxes, scores: positions of the outputs; the same where one output has both.
        corners: boxes are (left, top, right, bottom); else centres and sizes.
        classes: position of the output with the best class, whose score alone ``scores`` has; None: it has all.
        shape: of the array; the last is 0 where the number of classes cannot be told.
        maps: position of the output with the maps that masks are made of, which comes behind that array; None: none.
    """

    boxes: int
    scores: int
    corners: bool
    classes: int | None
    shape: tuple[int, int, int]
    maps: int | None = None

    def together(self, outputs: Sequence[Array]) -> list[Array]:
        """Return that one array, float32, and the maps behind it."""
        boxes = _rows(outputs[self.boxes], self.shape[1])
        if self.boxes == self.scores:
            boxes, scores = boxes[:, :SIDES], boxes[:, SIDES:]
        elif self.classes is None:
            scores = _rows(outputs[self.scores], self.shape[1])
        else:
            best = np.rint(np.asarray(outputs[self.classes], np.float32).reshape(-1)).astype(np.intp)
            scores = np.zeros((len(boxes), int(best.max(initial=0)) + 1), np.float32)
            scores[np.arange(len(best)), np.maximum(best, 0)] = np.asarray(outputs[self.scores]).reshape(-1)
        if self.corners:
            low, high = boxes[:, :2], boxes[:, 2:4]
            boxes = np.concatenate([(low + high) / 2, high - low], axis=1)
        whole = np.concatenate([boxes, scores], axis=1)[None].astype(np.float32)
        return [whole] if self.maps is None else [whole, outputs[self.maps]]


def views(outputs: Sequence[Sequence[int]]) -> Iterator[View]:
    """Yield how outputs of these shapes may be boxes and scores of the same places, the most usual first."""
    shapes = [flat_shape(shape) for shape in outputs]
    if len(shapes) == 1 and len(shapes[0]) == 3:
        places, channels = max(shapes[0][1:]), min(shapes[0][1:])
        if channels > SIDES:
            yield View(0, 0, True, None, (1, places, channels))
        return
    for boxes in range(len(shapes)):
        if len(shapes[boxes]) != 3 or SIDES not in shapes[boxes][1:]:
            continue
        places = max(shapes[boxes][1:])
        others = [k for k in range(len(shapes)) if k != boxes]
        if len(others) == 1 and len(found := list(shapes[others[0]])) == 3 and places in found[1:]:
            whole = (1, places, SIDES + found[1] * found[2] // places)
            for corners in (False, True):
                yield View(boxes, others[0], corners, None, whole)
        if len(others) == 2 and all(int(np.prod(shapes[k])) == places for k in others):
            for scores, classes in permutations(others):
                for corners in (True, False):
                    yield View(boxes, scores, corners, classes, (1, places, 0))


def flat_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape of rows (1, n, 4) where an exporter left (1, n, 1, 4) or (n, 4); others as they are.

    >>> flat_shape((1, 80, 1, 4)), flat_shape((80, 4)), flat_shape((1, 8, 8, 4)), flat_shape((1, 80))
    ((1, 80, 4), (1, 80, 4), (1, 8, 8, 4), (1, 80))
    """
    if len(shape) == 2 and shape[0] > 1:
        return (1, *shape)
    return tuple(shape[:2]) + tuple(shape[3:]) if len(shape) == 4 and shape[2] == 1 else tuple(shape)


def image_size(shape: Sequence[int]) -> tuple[int, int] | None:
    """Return height and width of an input (1, height, width, channels), or with channels first; None for any other.

    The batch may be missing, as in torchvision's detectors.

    >>> image_size((1, 96, 128, 3)), image_size((1, 3, 96, 128)), image_size((3, 96, 128)), image_size((2, 96, 128, 3))
    ((96, 128), (96, 128), (96, 128), None)
    """
    if len(shape) == MAP - 1 and (shape[0] <= MOST_CHANNELS or shape[2] <= MOST_CHANNELS):
        shape = (1, *shape)
    if len(shape) != 4 or shape[0] != 1 or 0 in shape:
        return None
    if shape[1] <= MOST_CHANNELS < shape[3]:
        return shape[2], shape[3]
    return shape[1], shape[2]


def stride_of(size: tuple[int, int], cells: Sequence[int]) -> int:
    """Return the pixels of a cell; 1 where the cells are none of the image's.

    Where it is a power of two, the last cells of a row or column may pass the edge, as layers that pad make them.
    """
    exact = size[0] // cells[0]
    if [exact * n for n in cells] == list(size):
        return exact
    powers = (2**k for k in range(1, 8))
    return next((s for s in powers if [-(-side // s) for side in size] == list(cells)), 1)


def _rows(output: Array, places: int) -> Array:
    """Return (places, channels) of an output in either layout."""
    values: Array = np.asarray(output, np.float32)
    values = values.reshape(flat_shape(values.shape))[0]
    return values if values.shape[0] == places else values.T
