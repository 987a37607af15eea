"""Bytes that parameters take on the Edge TPU, padded as the chip stores them.

The array has 64 rows: output channels are stored in groups of 64, input channels in groups of 4, and each
output channel has 8 bytes beside its weights (bias and scale). A dense layer N to N, N a multiple of 64,
takes ``N*N + 8*N`` bytes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from qedge.graph import Graph, Operator

ROWS, COLUMNS, CHANNEL_BYTES = 64, 4, 8
ON_CHIP_BYTES = 8 * 1024 * 1024
RESERVED_BYTES = 64 * 1024
"""Least that the compiler keeps back for activations: caching never used more than 8 MiB less this."""


@dataclass(frozen=True)
class Memory:
    """Estimated parameter bytes of the mapped operators.

    Args:
        total_bytes: padded.
        cached_low_bytes, cached_high_bytes: range of what stays on chip; the rest is streamed. The compiler
            gives activations their place first, and published logs leave from 1.1 to 8.05 MiB for caching.
    """

    total_bytes: int
    cached_low_bytes: int
    cached_high_bytes: int

    @property
    def streamed_low_bytes(self) -> int:
        """Least that is streamed at each inference."""
        return self.total_bytes - self.cached_high_bytes

    @property
    def streamed_high_bytes(self) -> int:
        """Most that is streamed at each inference."""
        return self.total_bytes - self.cached_low_bytes


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def dense_bytes(outputs: int, inputs: int, taps: int = 1) -> int:
    """Return the padded bytes of a dense layer or convolution of ``taps`` kernel positions.

    >>> dense_bytes(256, 256)
    67584
    """
    return _up(outputs, ROWS) * (taps * _up(inputs, COLUMNS) + CHANNEL_BYTES)


def depthwise_bytes(channels: int, taps: int) -> int:
    """Return the padded bytes of a depthwise convolution."""
    return _up(channels, ROWS) * (_up(taps, COLUMNS) + CHANNEL_BYTES)


def operator_bytes(graph: Graph, op: Operator) -> int:
    """Return the padded parameter bytes of one operator; 0 for operators without parameters."""
    if op.op in ("CONV_2D", "TRANSPOSE_CONV"):
        outputs, height, width, inputs = graph.tensors[op.inputs[1]].shape
        return dense_bytes(outputs, inputs, height * width)
    if op.op == "DEPTHWISE_CONV_2D":
        _, height, width, channels = graph.tensors[op.inputs[1]].shape
        return depthwise_bytes(channels, height * width)
    if op.op == "FULLY_CONNECTED":
        outputs, inputs = graph.tensors[op.inputs[1]].shape
        return dense_bytes(outputs, inputs)
    if op.op == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        matrices = [graph.tensors[t] for t in op.inputs[1:9] if t >= 0]
        return sum(dense_bytes(*m.shape) for m in matrices)
    return 0


def estimate(graph: Graph, mapped: Collection[int]) -> Memory:
    """Return the memory of the operators in ``mapped`` (indices)."""
    total = sum(operator_bytes(graph, graph.operators[i]) for i in mapped)
    largest = max(
        (
            sum(
                _up(t.shape[-1] if t.shape else 1, 4) * (t.elements // max(t.shape[-1] if t.shape else 1, 1))
                for t in graph.output_tensors(graph.operators[i])
            )
            for i in mapped
        ),
        default=0,
    )
    room_high = ON_CHIP_BYTES - RESERVED_BYTES
    room_low = max(0, room_high - 2 * largest)
    return Memory(total, min(total, room_low), min(total, room_high))
