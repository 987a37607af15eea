"""Ranges that keep the distribution of values: the smallest Kullback-Leibler divergence.

Migacz, "8-bit inference with TensorRT" (GTC 2017).
"""

from __future__ import annotations

import numpy as np

from qedge.quantize.histogram import BINS, Histogram

LEVELS = 128
TRIED = 32


def entropy(histogram: Histogram) -> tuple[float, float]:
    """Return the range whose quantised distribution diverges least from that of the values.

    One-sided activations (behind a ReLU) are judged on the values above zero, as their zeros are exact.
    """
    middle = BINS // 2
    two_sided = histogram.low < 0
    positive = histogram.counts[middle:].copy()
    magnitude = positive + histogram.counts[:middle][::-1] if two_sided else positive
    magnitude[0] = 0.0 if not two_sided else magnitude[0]
    used = int(np.flatnonzero(magnitude)[-1]) + 1 if magnitude.any() else 0
    if used <= LEVELS:
        return histogram.low, histogram.high
    edges = sorted({int(e) for e in np.linspace(LEVELS, used, TRIED)})
    best = min(edges, key=lambda edge: _divergence(magnitude[:used], edge))
    limit = best * histogram.width if best < used else max(-histogram.low, histogram.high)
    return max(histogram.low, -limit), min(histogram.high, limit)


def _divergence(counts: np.ndarray, edge: int) -> float:
    reference = counts[:edge].copy()
    reference[-1] += counts[edge:].sum()
    level = (np.arange(edge) * LEVELS) // edge
    present = counts[:edge] > 0
    totals = np.bincount(level, weights=counts[:edge], minlength=LEVELS)
    members = np.bincount(level, weights=present, minlength=LEVELS)
    spread = np.divide(totals, members, out=np.zeros(LEVELS), where=members > 0)
    quantised = np.where(present, spread[level], 0.0)
    p, q = reference / reference.sum(), quantised / max(quantised.sum(), 1e-30)
    both = (p > 0) & (q > 0)
    lost = float(p[(p > 0) & (q == 0)].sum())
    return float((p[both] * np.log(p[both] / q[both])).sum()) + lost * 20.0
