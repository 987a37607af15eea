"""Whether a window of samples still looks like calibration, at a false-alarm rate that the user sets.

The distance of a window's histogram from the sketch's is ``sum(abs(count * 2**15 - window * share))``, ``share`` being
the sketch's in units of ``2**-15``: integers that fit 32 bits up to ``MAX_WINDOW``, so that C does the same. Its limit
is the quantile of that distance over windows drawn from what the calibration samples leave possible: shares from their
Dirichlet posterior, counts from the multinomial. Few calibration samples make limits wider, not alarms more frequent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qedge.drift.sketch import Histogram, Sketch
from qedge.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

SHARE_BITS = 15
LEAST_WINDOW, MAX_WINDOW = 10, 4096
LEAST_RATE, MAX_RATE = 0.001, 0.2
_TAIL_DRAWS = 50
_SEED = 20


class Limits(NamedTuple):
    """The largest distance that is no alarm, one a histogram."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def shares(histogram: Histogram) -> tuple[int, ...]:
    """Return each bin's share of the calibration samples in units of ``2**-15``.

    >>> shares(Histogram((), (1, 3)))
    (8192, 24576)
    """
    total = max(sum(histogram.counts), 1)
    return tuple(((count << SHARE_BITS) + total // 2) // total for count in histogram.counts)


def distance(counts: Sequence[int], share: Sequence[int], window: int) -> int:
    """Return how far a window's counts are from the shares; 0 to ``window * 2**16``."""
    return sum(abs((count << SHARE_BITS) - window * part) for count, part in zip(counts, share))


def check_rate(rate: float) -> None:
    """Raise unless alarms can be held to this rate.

    Raises:
        UsageError: it is out of range.
    """
    if not LEAST_RATE <= rate <= MAX_RATE:
        raise UsageError(f"false alarms: found {rate!r}, expected a share from {LEAST_RATE} to {MAX_RATE}")


def check_window(window: int) -> None:
    """Raise unless a window may have this many samples.

    Raises:
        UsageError: it is out of range.
    """
    if not LEAST_WINDOW <= window <= MAX_WINDOW:
        raise UsageError(f"window: found {window!r}, expected {LEAST_WINDOW} to {MAX_WINDOW} samples")


def limits(sketch: Sketch, window: int, rate: float) -> Limits:
    """Return the limits for windows of ``window`` samples, ``rate`` of which may be false alarms.

    Each of the two alarms has the rate for itself: histograms of one alarm share it.
    """
    return Limits(_limits(sketch.inputs, window, rate), _limits(sketch.outputs, window, rate))


def _limits(histograms: Sequence[Histogram], window: int, rate: float) -> tuple[int, ...]:
    each = 1 - (1 - rate) ** (1 / len(histograms))
    return tuple(_limit(h.counts, window, each) for h in histograms)


@lru_cache(maxsize=256)
def _limit(counts: tuple[int, ...], window: int, rate: float) -> int:
    draws = int(_TAIL_DRAWS / rate)
    # RandomState's streams never change with the version of numpy.
    random = np.random.RandomState(_SEED)
    left = np.full(draws, window, np.int64)
    weight = float(sum(counts)) + 0.5 * len(counts)
    total = np.zeros(draws, np.int64)
    share = shares(Histogram((), counts))
    for count, part in zip(counts, share):
        weight -= count + 0.5
        p = random.beta(count + 0.5, weight, draws) if weight > 0.25 else np.ones(draws)
        found = random.binomial(left, p)
        left -= found
        total += np.abs((found.astype(np.int64) << SHARE_BITS) - window * part)
    return int(np.sort(total)[draws - 1 - int(draws * rate)])
