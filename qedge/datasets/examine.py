"""What the linter keeps of each sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset, InputInfo, Labels, Sample
from qedge.errors import DataError

KEPT_BYTES = 96 << 20


@dataclass
class Examined:
    """The samples that could be read, in the dataset's order.

    ``low``, ``high``, ``integer``: one row a sample, one column an input. ``samples`` keeps the first ones
    only, up to :data:`KEPT_BYTES`; ``labels`` are those of all that could be read, ``kept_labels`` of these.
    """

    inputs: tuple[InputInfo, ...]
    samples: list[Sample] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    low: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    high: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    integer: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))
    labels: Labels | None = None
    errors: list[DataError] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of samples that could be read."""
        return len(self.sources)

    @property
    def kept_labels(self) -> Labels | None:
        """Labels of ``samples``."""
        return None if self.labels is None else self.labels[: len(self.samples)]


def examine(dataset: Dataset, inputs: Sequence[InputInfo]) -> Examined:
    """Read every sample of a dataset once."""
    seen = Examined(tuple(inputs))
    low, high, integer, readable, kept = [], [], [], [], 0
    for i in _mixed(len(dataset)):
        try:
            sample = dataset[i]
        except DataError as error:
            seen.errors.append(error)
            continue
        readable.append(i)
        low.append([float(a.min()) for a in sample])
        high.append([float(a.max()) for a in sample])
        integer.append([bool((a == np.rint(a)).all()) for a in sample])
        seen.digests.append(hashlib.sha256(b"".join(a.tobytes() for a in sample)).digest())
        seen.sources.append(dataset.source(i))
        kept += sum(a.nbytes for a in sample)
        if kept <= KEPT_BYTES or not seen.samples:
            seen.samples.append(sample)
    seen.low, seen.high, seen.integer = np.array(low), np.array(high), np.array(integer, np.bool_)
    if dataset.labels is not None:
        seen.labels = dataset.labels[readable]
    return seen


def _mixed(count: int) -> list[int]:
    """Return all indices in an order whose beginning covers the whole dataset, the same every time."""
    return [int(i) for i in np.random.default_rng(0).permutation(count)]
