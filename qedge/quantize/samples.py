"""Which samples a search works with, and which of them it holds out."""

from __future__ import annotations

import numpy as np

from qedge.errors import DataError
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import derived

SEARCH_SAMPLES = 128
FEWEST_HELD_OUT = 4
# Values of activations that the search may read and judge with; larger models search on fewer samples.
SEARCH_VALUES = 100_000_000


def choose(count: int, wanted: int | None, seed: int) -> list[int]:
    """Return which of ``count`` samples are used, in order; the same seed chooses the same ones."""
    if count == 0:
        raise DataError("the calibration set is empty", hint="pass a folder or file with samples")
    if wanted is None or wanted >= count:
        return list(range(count))
    return sorted(int(i) for i in np.random.default_rng(seed).choice(count, wanted, replace=False))


def thin(model: FloatModel, samples: list[int], seed: int) -> list[int]:
    """Return the samples that the search works with: fewer where the model has much to read."""
    most = max(SEARCH_VALUES // values_of(model), 4 * FEWEST_HELD_OUT)
    if len(samples) <= min(most, SEARCH_SAMPLES):
        return samples
    order = np.random.default_rng(seed).permutation(len(samples))[: min(most, SEARCH_SAMPLES)]
    return sorted(samples[int(i)] for i in order)


def split(samples: list[int], seed: int) -> tuple[list[int], list[int]]:
    """Return three quarters to calibrate with and one held out; the same list twice where there are hardly any."""
    if len(samples) < 2 * FEWEST_HELD_OUT:
        return samples, samples
    order = [samples[int(i)] for i in np.random.default_rng(seed + 1).permutation(len(samples))]
    held = max(len(order) // 4, FEWEST_HELD_OUT)
    return sorted(order[held:]), sorted(order[:held])


def values_of(model: FloatModel) -> int:
    """Return how many values the activations of one sample have that calibration reads."""
    known = derived(model.graph)
    return sum(model.graph.tensors[t].elements for t in model.activations if t not in known)
