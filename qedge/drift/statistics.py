"""Three integers of one sample, as C computes them: how large its values are, how spread, how sharp.

Values are levels from 0 to 255: an int8 tensor's codes plus 128, a uint8 tensor's as they are. All sums fit 32 bits up
to ``MAX_ELEMENTS``, and no step divides but the one that gives the mean level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

STATISTICS = ("level", "spread", "sharpness")
MAX_ELEMENTS = 1 << 22


def stride_of(shape: Sequence[int]) -> int:
    """Return how far apart neighbours lie in a flat tensor: a pixel of an image, else one value.

    >>> stride_of((1, 32, 32, 3)), stride_of((1, 640))
    (3, 1)
    """
    return int(shape[-1]) if len(shape) == 4 else 1


def levels(array: npt.NDArray[Any], low: float = 0.0, step: float = 0.0) -> npt.NDArray[np.int64]:
    """Return a tensor's values as levels 0 to 255, flat.

    Args:
        low, step: of a float tensor: the value of level 0 and the width of a level; elsewhere 0.
    """
    flat = array.reshape(-1)[:MAX_ELEMENTS]
    if flat.dtype == np.int8:
        return flat.astype(np.int64) + 128
    if flat.dtype == np.uint8:
        return flat.astype(np.int64)
    if flat.dtype == np.int16:
        return (flat.astype(np.int64) >> 8) + 128
    scaled = np.nan_to_num((flat.astype(np.float64) - low) / (step or 1.0))
    return np.clip(np.rint(scaled), 0, 255).astype(np.int64)


def statistics(values: npt.NDArray[np.int64], stride: int) -> tuple[int, int, int]:
    """Return the sum of levels, the sum of distances from their mean, and the sum of second differences.

    The mean is rounded down. A second difference is ``abs(2 x[i] - x[i - stride] - x[i + stride])`` over the flat
    tensor: the ends of rows count as neighbours, in every sample alike.

    >>> statistics(np.array([0, 4, 0, 4]), 1)
    (8, 8, 16)
    """
    total = int(values.sum())
    spread = int(np.abs(values - total // max(values.size, 1)).sum())
    if values.size <= 2 * stride:
        return total, spread, 0
    second = 2 * values[stride:-stride] - values[: -2 * stride] - values[2 * stride :]
    return total, spread, int(np.abs(second).sum())


def group_of(output: npt.NDArray[Any], groups: int) -> int:
    """Return the group that a classifier's answer falls into: the classes in order, as many to a group as to another.

    Of equal largest values the first counts.
    """
    return int(output.reshape(-1).argmax()) * groups // output.size
