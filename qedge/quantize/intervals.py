"""95 % confidence intervals of what is measured on a sample of the world."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]

Z = 1.959963984540054  # the normal distribution holds 95 % within this many standard deviations
RESAMPLED = 1000


def wilson(hits: float, count: int) -> Interval:
    """Return Wilson's score interval of a share, within [0, 1].

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927:
    ``(p + z^2/2n ± z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)``.

    >>> [round(v, 3) for v in wilson(45, 50)]
    [0.786, 0.957]
    """
    if count == 0:
        return 0.0, 1.0
    share, square = hits / count, Z * Z
    middle = share + square / (2 * count)
    reach = Z * math.sqrt(max(share * (1 - share), 0.0) / count + square / (4 * count * count))
    whole = 1 + square / count
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)


def paired_drop(lost: int, won: int, count: int) -> Interval:
    """Return the interval of the drop ``(lost - won) / count`` of a share, both models on the same samples.

    Half a sample is added to each of the four cells: A. Agresti and Y. Min, "Simple improved confidence
    intervals for comparing matched proportions", 2005.

    Args:
        lost: samples that the first model has right and the second has not.
        won: samples the other way round.

    >>> [round(v, 3) for v in paired_drop(5, 0, 100)]
    [0.003, 0.095]
    """
    total = count + 2
    b, c = lost + 0.5, won + 0.5
    drop = (b - c) / total
    reach = Z * math.sqrt(max(b + c - (b - c) ** 2 / total, 0.0)) / total
    return drop - reach, drop + reach


def mean_interval(values: npt.ArrayLike) -> Interval:
    """Return the interval of a mean: ``mean ± z s / sqrt(n)``; without bounds for fewer than two values."""
    array = np.asarray(values, np.float64)
    if array.size < 2:
        return -math.inf, math.inf
    middle, reach = float(array.mean()), Z * float(array.std(ddof=1)) / math.sqrt(array.size)
    return middle - reach, middle + reach


def f1_interval(counts: npt.NDArray[Any]) -> Interval:
    """Return the interval of an F1 score by resampling the samples (percentile bootstrap, fixed seed).

    Args:
        counts: (samples, 3): true positives, false positives and false negatives of each.
    """
    scores = _resampled(counts)
    return float(np.quantile(scores, 0.025)), float(np.quantile(scores, 0.975))


def f1_drop_interval(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Interval:
    """Return the interval of how much lower the second F1 is, the same samples drawn for both."""
    drops = _resampled(first) - _resampled(second)
    return float(np.quantile(drops, 0.025)), float(np.quantile(drops, 0.975))


def f1(counts: npt.NDArray[Any]) -> float:
    """Return F1 over all decisions (micro), ``2 TP / (2 TP + FP + FN)``; 1 where there is nothing to find.

    >>> f1(np.array([[3, 1, 1], [1, 0, 0]]))
    0.8
    """
    hit, wrong, missed = (float(v) for v in counts.sum(axis=0))
    whole = 2 * hit + wrong + missed
    return 2 * hit / whole if whole else 1.0


def _resampled(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    n = len(counts)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLED)
    hit, wrong, missed = (drawn @ counts.astype(np.float64)).T
    whole = 2 * hit + wrong + missed
    return np.asarray(np.divide(2 * hit, whole, out=np.ones(RESAMPLED), where=whole > 0))
