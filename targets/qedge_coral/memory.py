"""Bytes that parameters take on the Edge TPU, padded as the compiler lays them out.

Read off compiled models beside their sources, which it reproduces to the byte where a model has only
convolutions. Output channels are stored 64 at a time (a layer of at most 64: its own number, rounded up to
16), input channels 4 at a time, 64 bytes being the smallest piece. Every output channel brings 4 bytes of
bias, int8 weights 4 more (the zero point), and weights with a scale a channel another 4. A dense layer N to
N, int8, one scale, N a multiple of 64, takes ``N*N + 8*N`` bytes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from qedge.graph import Graph, Operator, Tensor

ROWS, COLUMNS, LINE = 64, 4, 64
LSTM_LINES_A_STEP = 15
"""Lines of 64 bytes that a step of an LSTM takes beside its matrices (from one compiled model)."""
LEAST_ROOM, USUAL_ROOM, MOST_ROOM = 1_150_000, 6_500_000, 8_440_000
"""Bytes for parameters, of the 8 MiB on chip, that the compiler leaves: it places activations first. Least and
most of 22 published logs, and what explains published latencies best."""


@dataclass(frozen=True)
class Memory:
    """Estimated parameter bytes of the mapped operators.

    Args:
        total_bytes: padded.
        cached_low_bytes, cached_bytes, cached_high_bytes: what stays on chip at the least, usually, at the
            most; the rest is streamed.
    """

    total_bytes: int
    cached_low_bytes: int
    cached_bytes: int
    cached_high_bytes: int

    @property
    def streamed_low_bytes(self) -> int:
        """Least that is streamed at each inference."""
        return self.total_bytes - self.cached_high_bytes

    @property
    def streamed_bytes(self) -> int:
        """What is usually streamed at each inference."""
        return self.total_bytes - self.cached_bytes

    @property
    def streamed_high_bytes(self) -> int:
        """Most that is streamed at each inference."""
        return self.total_bytes - self.cached_low_bytes


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def channel_bytes(weights: Tensor) -> int:
    """Return the bytes that each output channel takes beside its weights: 4, 8 or 12."""
    if weights.dtype == "uint8":
        return 4
    return 12 if weights.quantization is not None and weights.quantization.per_channel else 8


def dense_bytes(outputs: int, inputs: int, taps: int = 1, beside: int = 8) -> int:
    """Return the padded bytes of a dense layer or convolution of ``taps`` kernel positions.

    Args:
        beside: bytes of an output channel beside its weights, see :func:`channel_bytes`.

    >>> dense_bytes(256, 256)
    67584
    """
    groups = [ROWS] * (_up(outputs, ROWS) // ROWS) if outputs > ROWS else [outputs]
    steps = taps * _up(inputs, COLUMNS) // COLUMNS
    return sum(_up(rows * beside, LINE) + steps * _up(rows * COLUMNS, LINE) for rows in groups)


def depthwise_bytes(channels: int, taps: int, beside: int = 8) -> int:
    """Return the padded bytes of a depthwise convolution: channels go 4 by 4 as a 4x4 diagonal each tap."""
    return _up(channels, COLUMNS) // COLUMNS * COLUMNS * (beside + COLUMNS * taps)


def softmax_bytes(elements: int) -> int:
    """Return the bytes of the constants of a softmax.

    >>> softmax_bytes(1001)
    48256
    """
    return 3 * LINE * (_up(elements, COLUMNS) // COLUMNS) + LINE


def operator_bytes(graph: Graph, op: Operator) -> int:
    """Return the padded parameter bytes of one operator."""
    if op.op in ("CONV_2D", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        weights = graph.tensors[op.inputs[1]]
        beside = channel_bytes(weights)
        if op.op == "FULLY_CONNECTED":
            outputs, inputs = weights.shape
            return dense_bytes(outputs, inputs, 1, beside)
        first, height, width, last = weights.shape
        if op.op == "DEPTHWISE_CONV_2D":
            return depthwise_bytes(last, height * width, beside)
        return dense_bytes(first, last, height * width, beside)
    if op.op == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        matrices = [graph.tensors[t] for t in op.inputs[1:9] if t >= 0]
        units, steps = matrices[-1].shape[-1], graph.tensors[op.inputs[0]].shape[-2]
        aside = LINE * LSTM_LINES_A_STEP * steps * (_up(units, ROWS) // ROWS)
        return aside + sum(dense_bytes(m.shape[0], m.shape[1], 1, channel_bytes(m)) for m in matrices)
    if op.op == "SOFTMAX":
        return softmax_bytes(graph.tensors[op.inputs[0]].shape[-1])
    constants = [t for t in graph.input_tensors(op) if t is not None and t.is_constant]
    values = sum(_up(t.nbytes, LINE) for t in constants if t.dtype in ("int8", "uint8"))
    return values + (LINE if op.op in _WITH_CONSTANTS else 0)


# fmt: off
_WITH_CONSTANTS = frozenset({
    "ADD", "SUB", "MUL", "CONCATENATION", "SPLIT", "QUANTIZE", "LOGISTIC", "TANH", "RSQRT", "MAXIMUM",
    "MINIMUM",
})
# fmt: on


def estimate(graph: Graph, mapped: Collection[int]) -> Memory:
    """Return the memory of the operators in ``mapped`` (indices)."""
    total = sum(operator_bytes(graph, graph.operators[i]) for i in mapped)
    return Memory(total, min(total, LEAST_ROOM), min(total, USUAL_ROOM), min(total, MOST_ROOM))
