"""Which samples to use when there are more than are wanted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def choose(
    count: int, limit: int, labels: npt.NDArray[np.int64] | None = None, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Return ``limit`` of ``count`` indices in rising order, spread evenly over the classes.

    Each class gives one sample in turn until enough are there, so a class gives all that it has only when it
    is small. The choice depends on nothing but the arguments.

    >>> choose(6, 3, np.array([0, 0, 0, 0, 1, 2])).tolist()[1:]
    [4, 5]
    """
    if limit >= count:
        return np.arange(count, dtype=np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    if labels is not None:
        turn = np.empty(count, np.int64)  # how many of its class come before a sample
        for label in np.unique(labels):
            members = order[labels[order] == label]
            turn[members] = np.arange(members.size)
        order = order[np.argsort(turn[order], kind="stable")]
    return np.sort(order[:limit]).astype(np.int64)
