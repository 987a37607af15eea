"""What is added up over the samples of one output, in one process or several."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Sums:
    """What an :class:`OutputTally` adds up: moments of each value or column, and lists with an entry a sample.

    Args:
        size: values or columns.
    """

    def __init__(self, size: int) -> None:
        self.samples = self.seen = 0
        self.sum, self.square, self.noise = (np.zeros(size) for _ in range(3))
        self.low, self.high = np.full(size, math.inf), np.full(size, -math.inf)
        self.same: list[float] = []
        self.scores: list[tuple[Any, Any]] = []
        self.labels: list[Array] = []
        self.placed = np.zeros((3, 0), np.int64)

    def place(self, said: Array, found: Array) -> None:
        """Count, answer by answer, how often both models give it, the float one, the other one."""
        said, found = said.astype(np.int64), found.astype(np.int64)
        count = 1 + int(max(said.max(initial=0), found.max(initial=0)))
        self._grow(count)
        for row, answers in zip(self.placed, (said[said == found], said, found)):
            row[:count] += np.bincount(answers, minlength=count)

    def _grow(self, count: int) -> None:
        more = count - self.placed.shape[1]
        if more > 0:
            self.placed = np.pad(self.placed, ((0, 0), (0, more)))

    def merge(self, later: Sums) -> None:
        """Take in what was added up over later samples."""
        self.samples += later.samples
        self.seen += later.seen
        self.sum += later.sum
        self.square += later.square
        self.noise += later.noise
        np.minimum(self.low, later.low, out=self.low)
        np.maximum(self.high, later.high, out=self.high)
        self.same += later.same
        self.scores += later.scores
        self.labels += later.labels
        self._grow(later.placed.shape[1])
        self.placed[:, : later.placed.shape[1]] += later.placed
