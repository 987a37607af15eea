"""Streaming histograms of activations.

The width of the bins is a power of two that grows by merging neighbours, so that the result does not depend
on the order of the samples.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 4096
MOST_VALUES = 8192  # of one tensor counted in one sample; larger ones are thinned out evenly


class Histogram:
    """Counts over ``BINS`` bins that are symmetric around zero, and the true extremes."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.float64)
        self.exponent = -126  # bins are 2**exponent wide
        self.low, self.high = math.inf, -math.inf

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take in the values of one tensor in one sample."""
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(abs(low), abs(high))
        if largest > 0:
            # frexp: largest < 2**e, so half of the bins cover it when they are 2**e / (BINS / 2) wide.
            self._widen(math.frexp(largest)[1] - int(math.log2(BINS // 2)))
        flat = values.reshape(-1)
        step = max(1, flat.size // MOST_VALUES)
        flat = flat[::step]
        index = (
            (flat * np.float32(2.0**-self.exponent)).astype(np.int32)
            if largest > 0
            else flat.astype(np.int32)
        )
        # Truncation sends both neighbours of zero to bin 0: shift negative values by one.
        index += BINS // 2
        index -= flat < 0
        np.maximum(index, 0, out=index)
        np.minimum(index, BINS - 1, out=index)
        self.counts += np.bincount(index, minlength=BINS) * float(step)

    @property
    def width(self) -> float:
        """Width of a bin."""
        return float(2.0**self.exponent)

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """Middle of each bin."""
        return np.asarray((np.arange(BINS) - BINS // 2 + 0.5) * self.width, np.float64)

    def merged(self, other: Histogram) -> Histogram:
        """Return what both have counted."""
        first, second = _copy(self), _copy(other)
        widest = max(first.exponent, second.exponent)
        first._widen(widest)
        second._widen(widest)
        first.counts += second.counts
        first.low, first.high = min(first.low, second.low), max(first.high, second.high)
        return first

    def _widen(self, exponent: int) -> None:
        if not self.counts.any():
            self.exponent = max(self.exponent, exponent)
            return
        while self.exponent < exponent:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, np.float64)
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
            self.exponent += 1


def _copy(histogram: Histogram) -> Histogram:
    found = Histogram()
    found.counts, found.exponent = histogram.counts.copy(), histogram.exponent
    found.low, found.high = histogram.low, histogram.high
    return found


class Histograms:
    """An observer that keeps one histogram for each activation.

    Values of small tensors wait until there are enough of them to count at once.
    """

    def __init__(self) -> None:
        self._of: dict[int, Histogram] = {}
        self._waiting: dict[int, list[npt.NDArray[Any]]] = {}

    def observe(self, tensor: int, values: npt.NDArray[Any]) -> None:
        """Take in one activation of one sample."""
        if values.size >= MOST_VALUES // 4:
            self._of.setdefault(tensor, Histogram()).add(values)
            return
        waiting = self._waiting.setdefault(tensor, [])
        waiting.append(values.reshape(-1).copy())
        if len(waiting) * values.size >= MOST_VALUES // 2:
            self._count(tensor)

    @property
    def of(self) -> dict[int, Histogram]:
        """The histogram of each activation, everything counted."""
        for tensor in list(self._waiting):
            self._count(tensor)
        return self._of

    def merged(self, other: Histograms) -> Histograms:
        """Return what both have counted."""
        found = Histograms()
        second = other.of
        found._of = {t: h.merged(second[t]) if t in second else h for t, h in self.of.items()}
        found._of |= {t: h for t, h in second.items() if t not in found._of}
        return found

    def completed(self, others: Histograms) -> Histograms:
        """Return these, with those of ``others`` for activations that were not observed."""
        found = Histograms()
        found._of = {**others.of, **self.of}
        return found

    @property
    def ranges(self) -> dict[int, tuple[float, float]]:
        """True extremes of each activation."""
        return {t: (h.low, h.high) for t, h in self.of.items()}

    def _count(self, tensor: int) -> None:
        values = np.concatenate(self._waiting.pop(tensor))
        self._of.setdefault(tensor, Histogram()).add(values)
