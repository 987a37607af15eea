"""Inputs of the layers with weights, as rows of a matrix, and their second moments."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.quantize.plan import weight_slots

Float = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
LARGEST_MOMENT = 2048  # inputs of one output value; larger layers are left out
ROWS_AT_ONCE = 1024
ROWS_PER_INPUT = 4  # rows of X looked at in all, for each of its columns
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class Moments:
    """An observer of ``X.T @ X`` of each layer with weights.

    X has a row for each output position and a last column of ones.
    A dense or convolution layer has one matrix (inputs + 1, inputs + 1), a depthwise one a matrix a channel.
    Uses of shared weights add up. Grouped convolutions are left out.

    Args:
        graph: the float model.
        samples: how many there will be; each gives an even share of the rows.
        largest: inputs of a layer beyond which it is left out.
        random: chooses the output positions that are looked at; seeded by 0 by default.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        samples: int,
        largest: int = LARGEST_MOMENT,
        random: np.random.Generator | None = None,
    ) -> None:
        self._of: dict[int, Float] = {}
        self._waiting: dict[int, list[Array]] = {}
        self._samples = samples
        self._random = random or np.random.default_rng(0)
        self._layers: dict[int, list[Operator]] = {}
        self._graph = graph
        for op in graph.operators:
            if can_measure(graph, op, largest):
                self._layers.setdefault(op.inputs[0], []).append(op)

    @property
    def tensors(self) -> list[int]:
        """The activations that are needed."""
        return list(self._layers)

    def observe(self, tensor: int, values: Array) -> None:
        """Take in one activation of one sample."""
        for op in self._layers.get(tensor, ()):
            weight, _ = weight_slots(self._graph, op)
            positions = positions_of(self._graph, op, self._samples)
            rows = rows_of(self._graph, op, values, positions, self._random)
            waiting = self._waiting.setdefault(weight, [])
            waiting.append(rows)
            if len(waiting) * len(rows) >= ROWS_AT_ONCE:
                self._sum(weight)

    @property
    def of(self) -> dict[int, Float]:
        """The moments, by tensor of weights."""
        for weight in list(self._waiting):
            self._sum(weight)
        return self._of

    def merged(self, other: Moments) -> Moments:
        """Return what both have seen; both are of the same layers."""
        found = copy(self)
        first, second = self.of, other.of
        found._of = {weight: moment + second[weight] for weight, moment in first.items()}
        found._waiting = {}
        return found

    def scaled(self, factors: Mapping[int, npt.NDArray[np.float32]]) -> dict[int, Float]:
        """Return the moments for activations whose channels are divided by factors, by tensor."""
        found = dict(self.of)
        for t, ops in self._layers.items():
            for op in ops if t in factors else ():
                weight, _ = weight_slots(self._graph, op)
                moment, inverse = found[weight], 1.0 / factors[t].astype(np.float64)
                if moment.ndim == 3:
                    by_output = np.repeat(inverse, moment.shape[0] // inverse.size)
                    scale = np.repeat(by_output[:, None], moment.shape[-1], axis=1)
                else:
                    scale = np.tile(inverse, (moment.shape[-1] - 1) // inverse.size + 1)[: moment.shape[-1]]
                scale[..., -1] = 1.0
                found[weight] = moment * scale[..., :, None] * scale[..., None, :]
        return found

    def _sum(self, weight: int) -> None:
        rows = np.concatenate(self._waiting.pop(weight))
        self._of[weight] = self._of.get(weight, 0.0) + _second_moment(rows)


def can_measure(graph: Graph, op: Operator, largest: int = LARGEST_MOMENT) -> bool:
    """Whether an operator is a layer whose inputs make one matrix, or one a channel, of no more than ``largest``."""
    return (
        op.op in LAYERS
        and _inputs_of(graph, op) <= largest
        and not _grouped(graph, op)
        and graph.tensors[op.inputs[1]].is_constant
    )


def positions_of(graph: Graph, op: Operator, samples: int) -> int:
    """Return how many output positions of each of the samples are looked at."""
    return -(-ROWS_PER_INPUT * (_inputs_of(graph, op) + 64) // samples)


def _grouped(graph: Graph, op: Operator) -> bool:
    """Whether a convolution's outputs read only a group of the input's channels each: one matrix does not tell them."""
    return op.op == "CONV_2D" and graph.tensors[op.inputs[1]].shape[3] != graph.tensors[op.inputs[0]].shape[3]


def _inputs_of(graph: Graph, op: Operator) -> int:
    shape = graph.tensors[op.inputs[1]].shape
    return int(np.prod(shape[1:3] if op.op == "DEPTHWISE_CONV_2D" else shape[1:]))


def rows_of(graph: Graph, op: Operator, values: Array, positions: int, random: np.random.Generator) -> Array:
    """Return what the layer multiplies at some output positions.

    Returns:
        (positions, inputs), in the order of the weights' last axes; depthwise: (positions, taps, channels).
    """
    weights = graph.tensors[op.inputs[1]].shape
    if op.op == "FULLY_CONNECTED":
        rows = values.reshape(-1, weights[1])
        return rows[_some(len(rows), positions, random)]
    _, out_h, out_w, _ = graph.tensors[op.outputs[0]].shape
    kernel_h, kernel_w = weights[1], weights[2]
    options = op.options
    chosen = _some(out_h * out_w, positions, random)
    y = _taps(
        chosen // out_w, values.shape[1], out_h, kernel_h, options["stride_h"], options["dilation_h_factor"]
    )
    x = _taps(
        chosen % out_w, values.shape[2], out_w, kernel_w, options["stride_w"], options["dilation_w_factor"]
    )
    inside = ((y >= 0) & (y < values.shape[1]))[:, :, None] & ((x >= 0) & (x < values.shape[2]))[:, None, :]
    picked = values[
        0, np.clip(y, 0, values.shape[1] - 1)[:, :, None], np.clip(x, 0, values.shape[2] - 1)[:, None, :]
    ]
    patches = picked * inside[..., None]
    if op.op == "DEPTHWISE_CONV_2D":
        multiplier = weights[3] // values.shape[3]
        by_tap = patches.reshape(len(chosen), kernel_h * kernel_w, -1)
        repeated: Array = np.repeat(by_tap, multiplier, axis=2)
        return repeated
    result: Array = patches.reshape(len(chosen), -1)
    return result


def _taps(position: Array, size: int, out: int, kernel: int, stride: int, dilation: int) -> Array:
    """Return the input index of each kernel tap: (positions, taps); outside the input in the padding.

    TFLite pads half of ``(out - 1) * stride + reach - size`` before the input, rounded down; VALID has none.
    """
    reach = (kernel - 1) * dilation + 1
    before = max(0, (out - 1) * stride + reach - size) // 2
    result: Array = position[:, None] * stride - before + np.arange(kernel) * dilation
    return result


def _some(count: int, wanted: int, random: np.random.Generator) -> Array:
    return np.arange(count) if count <= wanted else random.choice(count, wanted, replace=False)


def _second_moment(rows: Array) -> Float:
    """Return ``X.T @ X`` of rows with a last column of ones, in float64: the order of the samples changes no digit that
    rounding would show."""
    ones = np.ones((rows.shape[0], 1, *rows.shape[2:]))
    wide = np.concatenate([rows.astype(np.float64), ones], axis=1)
    result: Float
    if wide.ndim == 3:
        by_channel = wide.transpose(2, 1, 0)
        result = by_channel @ by_channel.transpose(0, 2, 1)
    else:
        result = wide.T @ wide
    return result
