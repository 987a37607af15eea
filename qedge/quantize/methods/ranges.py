"""Range methods by name: each turns the histogram of an activation into (low, high)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qedge.quantize.histogram import Histogram
from qedge.quantize.methods.entropy import entropy
from qedge.quantize.methods.mse import mse
from qedge.quantize.methods.percentile import percentile


def minmax(histogram: Histogram) -> tuple[float, float]:
    """Return the true extremes."""
    return histogram.low, histogram.high


RANGES: Mapping[str, Callable[[Histogram], tuple[float, float]]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}
