"""Ranges with the smallest squared error of rounding and clipping together.

Nagel et al., "A white paper on neural network quantization" (arXiv 2106.08295), section 3.1;
Banner et al., "Post training 4-bit quantization" (arXiv 1810.05723).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qedge.quantize.histogram import BINS, Histogram

Float = npt.NDArray[np.float64]

STEPS = 255
TRIED = 64
LEAST = 0.02


def mse(histogram: Histogram) -> tuple[float, float]:
    """Return the range with the smallest mean squared error after quantisation to 8 bits.

    Every pair of a lower and an upper end is tried, down to a fiftieth of the true extremes.
    """
    if not histogram.counts.any() or max(histogram.high, 0.0) <= min(histogram.low, 0.0):
        return histogram.low, histogram.high
    lows, highs, cost = squared_errors(histogram)
    i, j = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return float(lows[i]), float(highs[j])


def squared_errors(histogram: Histogram) -> tuple[Float, Float, Float]:
    """Return the lower and the upper ends that are tried, and the sum of squared errors of each pair.

    Within the range the error is that of even rounding, ``scale**2 / 12`` a value, but for the values that become
    zero, which are lost whole.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    counts, centers = histogram.counts, histogram.centers
    shrink = np.geomspace(1.0, LEAST, TRIED)
    lows = shrink * low if low < 0 else np.zeros(1)
    highs = shrink * high if high > 0 else np.zeros(1)
    above = _beyond(counts[::-1], -centers[::-1], -highs)
    below = _beyond(counts, centers, lows)
    scale = (highs[None, :] - lows[:, None]) / STEPS
    magnitude = counts[BINS // 2 :] + counts[: BINS // 2][::-1]
    distance = centers[BINS // 2 :]
    small = np.searchsorted(distance, scale / 2)
    vanished = np.append(0.0, np.cumsum(magnitude))[small]
    cost = below[:, None] + above[None, :] + (counts.sum() - vanished) * scale**2 / 12
    cost += np.append(0.0, np.cumsum(magnitude * distance**2))[small]
    return lows, highs, cost


def _beyond(counts: Float, centers: Float, ends: Float) -> Float:
    """Return the sum of squared distances of all values below each end, by prefix sums."""
    zeroth, first, second = (np.append(0.0, np.cumsum(counts * centers**k)) for k in range(3))
    k = np.searchsorted(centers, ends)
    result: Float = second[k] - 2 * ends * first[k] + ends**2 * zeroth[k]
    return np.maximum(result, 0.0)
