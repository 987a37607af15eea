"""Random samples, for who asks where a model runs before there are any of its own: of accuracy they say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import InputInfo, Labels, Sample, Subset
from qedge.processing.image import ImagePreprocess
from qedge.processing.spec import Preprocess

COUNT = 4


class RandomDataset:
    """A few samples of noise, the same for the same ``seed``.

    Args:
        inputs: of the model; integers get zeros, which every table has.
        preprocess: of images, which makes them of random levels; else numbers are from 0 to 1.
    """

    labels: Labels | None = None
    class_names: tuple[str, ...] | None = None

    def __init__(
        self, inputs: Sequence[InputInfo], preprocess: Preprocess | None = None, seed: int = 0
    ) -> None:
        self._inputs, self._preprocess, self._seed = tuple(inputs), preprocess, seed

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Sample:
        rng = np.random.default_rng((self._seed, i))
        spec = self._preprocess
        if isinstance(spec, ImagePreprocess) and len(self._inputs) == 1:
            return [spec.apply(rng.integers(0, 256, spec.shape[1:], np.uint8))]
        return [self._values(info, rng) for info in self._inputs]

    def _values(self, info: InputInfo, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        shape = info.shape
        if np.dtype(info.dtype).kind != "f":
            return np.zeros(shape, np.float32)
        return rng.uniform(0, 1, shape).astype(np.float32)

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Subset:
        """Return the samples with these indices, in this order."""
        return Subset(self, indices)

    def source(self, i: int) -> str:
        """Return what messages call a sample."""
        return f"random sample {i}"
