"""Ranges that leave out the rarest values.

Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference" (arXiv 1806.08342);
Wu et al., "Integer quantization for deep learning inference" (arXiv 2004.09602), section 3.
"""

from __future__ import annotations

import numpy as np

from qedge.quantize.histogram import Histogram


def percentile(histogram: Histogram, share: float = 0.9999) -> tuple[float, float]:
    """Return the range that holds ``share`` of the values, the same number left out at both ends at most."""
    total = histogram.counts.sum()
    if not total:
        return histogram.low, histogram.high
    rest = (1.0 - share) * total
    below = np.cumsum(histogram.counts)
    above = np.cumsum(histogram.counts[::-1])[::-1]
    edges = histogram.centers - histogram.width / 2
    first = int(np.searchsorted(below, rest, side="right"))
    last = int(np.flatnonzero(above > rest)[-1])
    low = max(histogram.low, float(edges[first]))
    high = min(histogram.high, float(edges[last] + histogram.width))
    return (low, high) if high > low else (histogram.low, histogram.high)
