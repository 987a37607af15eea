"""Regression and embeddings: the numbers themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qedge.processing.spec import Postprocess, is_int, is_number, require

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]


class Regression(Postprocess):
    """Return ``value * std + mean`` of every number of one output, with its label.

    Args:
        output: which of the model's outputs.
        mean: what the training targets were shifted by.
        std: what the training targets were divided by.
    """

    kind: ClassVar[str] = "regression"

    output: int = 0
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        require(is_int(self.output) and self.output >= 0, "output", self.output, "an integer of at least 0")
        require(is_number(self.mean), "mean", self.mean, "a number")
        require(is_number(self.std) and self.std != 0, "std", self.std, "a number other than 0")

    def apply(self, outputs: Sequence[Floats], labels: Sequence[str]) -> list[tuple[str, float]]:
        """Return (label, value) in the model's order; the number of the value where it has no label."""
        values = np.asarray(outputs[self.output], np.float64).reshape(-1) * self.std + self.mean
        return [(labels[k] if k < len(labels) else str(k), float(v)) for k, v in enumerate(values)]


class Embedding(Postprocess):
    """Return one output as a vector, to compare with others.

    Args:
        output: which of the model's outputs.
        normalize: scale to length 1, so that the dot product of two is their cosine.
    """

    kind: ClassVar[str] = "embedding"

    output: int = 0
    normalize: bool = True

    def __post_init__(self) -> None:
        require(is_int(self.output) and self.output >= 0, "output", self.output, "an integer of at least 0")
        require(isinstance(self.normalize, bool), "normalize", self.normalize, "true or false")

    def apply(self, outputs: Sequence[Floats], labels: Sequence[str]) -> Floats:
        """Return the vector: float32 (n,)."""
        vector = np.array(outputs[self.output], np.float32).reshape(-1)
        length = float(np.linalg.norm(vector))
        if self.normalize and length > 0:
            vector /= np.float32(length)
        return vector
