"""Samples that are kept out of calibration, so that accuracy is measured on what no choice has seen."""

from __future__ import annotations

import numpy as np

from qedge.datasets.protocol import Dataset

FEWEST = 80  # with fewer, a quarter tells nothing and calibration misses it
MOST = 1000


def hold_out(dataset: Dataset, samples: int | None = None, seed: int = 0) -> tuple[Dataset, Dataset | None]:
    """Return the samples to calibrate with and those to measure on; None where there are too few to keep any out.

    A quarter is kept out, at most :data:`MOST`, of every class its share; more where ``samples`` leaves more unused.
    The same arguments keep out the same ones.

    Args:
        samples: how many calibration will use at most, or None for all.
    """
    count = len(dataset)
    if count < FEWEST:
        return dataset, None
    wanted = min(max(count // 4, 0 if samples is None else count - samples), MOST)
    order = np.random.default_rng(seed + 2).permutation(count)
    if dataset.labels is not None:
        order = order[np.argsort(dataset.labels[order], kind="stable")]
    # Evenly spaced places in an order by class take of each class its share.
    held = order[((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)]
    rest = np.setdiff1d(np.arange(count), held)
    return dataset.subset(rest), dataset.subset(np.sort(held))
