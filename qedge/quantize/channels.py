"""Channels, the last axis of an activation: their statistics, and which operators leave them where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator

Float = npt.NDArray[np.float64]
BLOCK = 512  # values that one step of a reduction covers, so that it runs over long rows


class ChannelStatistics:
    """An observer of the largest magnitude and the mean of each channel.

    Args:
        tensors: the activations to look at; others are passed over.
    """

    def __init__(self, tensors: Iterable[int]) -> None:
        self.tensors = frozenset(tensors)
        self.largest: dict[int, Float] = {}
        self._sums: dict[int, Float] = {}
        self._rows: dict[int, int] = {}

    def observe(self, tensor: int, values: npt.NDArray[Any]) -> None:
        """Take in one activation of one sample."""
        if tensor not in self.tensors:
            return
        channels = values.shape[-1]
        rows = values.size // channels
        largest = np.maximum(_reduce(np.maximum, values, channels), -_reduce(np.minimum, values, channels))
        self._sums[tensor] = self._sums.get(tensor, 0.0) + _reduce(np.add, values, channels)
        self._rows[tensor] = self._rows.get(tensor, 0) + rows
        self.largest[tensor] = np.maximum(self.largest.get(tensor, 0.0), largest)

    def merged(self, other: ChannelStatistics) -> ChannelStatistics:
        """Return what both have seen; both look at the same activations."""
        found = ChannelStatistics(self.tensors)
        for tensor in self.largest:
            found.largest[tensor] = np.maximum(self.largest[tensor], other.largest[tensor])
            found._sums[tensor] = self._sums[tensor] + other._sums[tensor]
            found._rows[tensor] = self._rows[tensor] + other._rows[tensor]
        return found

    def mean(self, tensor: int) -> Float:
        """Return the mean of each channel over all samples and positions."""
        return self._sums[tensor] / self._rows[tensor]


def _reduce(ufunc: Any, values: npt.NDArray[Any], channels: int) -> Float:
    """Reduce all axes but the last one, several rows at a time."""
    rows = values.size // channels
    block = max(1, BLOCK // channels)
    flat = values.reshape(rows, channels)
    whole = rows // block * block
    parts = []
    if whole:
        parts.append(
            ufunc.reduce(flat[:whole].reshape(-1, block * channels), axis=0).reshape(block, channels)
        )
    if whole < rows:
        parts.append(flat[whole:])
    result: Float = ufunc.reduce(np.concatenate(parts).astype(np.float64), axis=0)
    return result


def keeps_channels(graph: Graph, op: Operator, channels: int) -> bool:
    """Whether an operator on one tensor leaves each of its ``channels``, the last axis, by itself and where it is."""
    source, result = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
    if not source or not result or source[-1] != channels or result[-1] != channels:
        return False
    if op.op == "MEAN":
        axes = graph.tensors[op.inputs[1]].data
        return axes is not None and all(int(a) % len(source) != len(source) - 1 for a in axes.reshape(-1))
    if op.op == "PAD":
        pads = graph.tensors[op.inputs[1]].data
        return pads is not None and not pads.reshape(-1, 2)[-1].any()
    return True
