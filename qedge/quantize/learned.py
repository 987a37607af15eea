"""What tuning gives back to the quantiser: ranges, limits of weights, weights and biases in real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qedge.quantize.plan import Plan, Range

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Learned:
    """Numbers that replace those of the float model and its calibration, by tensor.

    Args:
        ranges: of activations.
        limits: largest magnitude that the codes of weights stand for, one a scale.
        weights, biases: real numbers; weights become the nearest codes.
    """

    ranges: Mapping[int, Range]
    limits: Mapping[int, npt.NDArray[np.float64]]
    weights: Mapping[int, Float]
    biases: Mapping[int, Float]

    def codes(self, plan: Plan) -> dict[int, npt.NDArray[np.int8]]:
        """Return the codes of the weights on the grids of a plan."""
        return {t: plan.tensors[t].codes(values) for t, values in self.weights.items() if t in plan.tensors}
