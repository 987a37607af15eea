"""Limits of weights in few bits: with 15 codes it pays to cut off the largest, so that the others lie closer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SHARES = np.linspace(0.4, 1.0, 25)
"""Shares of a channel's largest magnitude that are tried."""


def best_limits(weights: npt.NDArray[Any], axis: int, steps: int = 7) -> npt.NDArray[np.float64]:
    """Return the limit of each channel with the least mean square error of its weights.

    Args:
        weights: of a layer.
        axis: dimension of the channels.
        steps: largest code.
    """
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    errors = []
    for share in SHARES:
        scale = np.maximum(share * largest / steps, 1e-30)[:, None]
        error = rows - np.clip(np.rint(rows / scale), -steps, steps) * scale
        errors.append(np.square(error).sum(axis=1))
    found: npt.NDArray[np.float64] = largest * SHARES[np.argmin(errors, axis=0)]
    return found
