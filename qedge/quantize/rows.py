"""A layer with weights as rows, one an output, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.quantize.affine import STEPS
from qedge.quantize.methods.rounding import Factors, round_jointly
from qedge.quantize.plan import Plan, weight_slots

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerRows:
    """The numbers of a convolution or dense layer.

    Args:
        weight, bias: their tensors; the bias is -1 where absent.
        rows: (outputs, inputs).
        offsets: (outputs,), zeros without a bias.
        shape: of the weights as they are stored.
        by_channel: whether each output reads one channel: a depthwise convolution.
    """

    weight: int
    bias: int
    rows: Float
    offsets: Float
    shape: tuple[int, ...]
    by_channel: bool

    @classmethod
    def of(cls, graph: Graph, op: Operator) -> LayerRows:
        """Return those of an operator whose weights and bias are constant."""
        weight, bias = weight_slots(graph, op)
        values, offsets = graph.tensors[weight].data, graph.tensors[bias].data if bias >= 0 else None
        assert values is not None
        by_channel = op.op == "DEPTHWISE_CONV_2D"
        rows = values.reshape(-1, values.shape[3]).T if by_channel else values.reshape(values.shape[0], -1)
        start = np.zeros(len(rows)) if offsets is None else offsets.astype(np.float64)
        return cls(weight, bias, rows.astype(np.float64), start, values.shape, by_channel)

    @property
    def biased(self) -> bool:
        """Whether there is a bias."""
        return self.bias >= 0

    def rounded(self, plan: Plan, factors: Factors) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
        """Return codes of the weights, rounded jointly on the grid of a plan, in their shape; and the bias."""
        affine = plan.tensors[self.weight]
        scales = np.asarray(affine.scale, np.float64)
        codes, bias = round_jointly(self.rows, scales, factors, self.offsets, STEPS[affine.dtype])
        stored: npt.NDArray[Any] = (codes.T if self.by_channel else codes).reshape(self.shape)
        return stored, bias.astype(np.float32)
