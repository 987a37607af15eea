"""A dataset under other labels: class folders in the model's output order, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset, Labels, Sample, Subset, Truths


class Relabelled:
    """The samples of another dataset with these labels.

    Args:
        base: where the samples come from.
        labels: class index a sample, or None to drop the labels.
        class_names: names in index order, or None.
        truths: what each output of the model should say, see :func:`qedge.datasets.labels.truths_of`; None
            leaves it to the labels.
    """

    def __init__(
        self,
        base: Dataset,
        labels: Labels | None,
        class_names: tuple[str, ...] | None,
        truths: Truths | None = None,
    ) -> None:
        self._base, self._labels, self._class_names, self.truths = base, labels, class_names, truths

    @property
    def labels(self) -> Labels | None:
        """Class index of each sample, or None."""
        return self._labels

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, or None."""
        return self._class_names

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, i: int) -> Sample:
        return self._base[i]

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Subset:
        """Return the samples with these indices, in this order."""
        return Subset(self, indices)

    def source(self, i: int) -> str:
        """Return where a sample comes from."""
        return self._base.source(i)
