"""Bytes that the parameters of an operator take on the Edge TPU, padded as the compiler lays them out.

Read off compiled models beside their sources; most of those are reproduced to the byte. Output channels are stored
64 at a time (a layer of at most 64: its own number, rounded up to 16), input channels 4 at a time, 64 bytes being
the smallest piece. Beside its weights every output channel has one to three values of 4 bytes, each kind of value in
a piece of its own: the bias, and for int8 weights with a scale a channel the scale and (convolutions) the
zero point.
"""

from __future__ import annotations

from dataclasses import dataclass

from qedge.graph import Graph, Operator, Tensor

ROWS, COLUMNS, LINE, TILES = 64, 4, 64, 16
VALUE = 4
"""Bytes of a value that an output channel has beside its weights."""
DEPTHWISE_1X1 = 12
"""Bytes that a channel of a depthwise 1x1 convolution takes, its weight and bias included."""
LSTM_LINES_A_STEP = 15
"""Lines of 64 bytes that a step of an LSTM takes beside its matrices, and once more (from one compiled model)."""
SOFTMAX_LINES = 3
"""Lines of 64 bytes that 4 elements of a uint8 softmax take; an int8 one takes none."""


@dataclass(frozen=True)
class Layer:
    """The parameters of one operator.

    Args:
        index: of the operator.
        padded_bytes: as the compiled file holds them.
        tile_bytes: of each of the 16 tiles' memory while they are cached.
        dense: whether it is a dense layer.
    """

    index: int
    padded_bytes: int
    tile_bytes: int
    dense: bool = False


def up(value: int, step: int) -> int:
    """Return the multiple of ``step`` that is not below ``value``."""
    return -(-value // step) * step


def values_a_channel(weights: Tensor, *, dense: bool = False) -> int:
    """Return how many values of 4 bytes an output channel has beside its weights: 1 to 3."""
    scales = None if weights.quantization is None else weights.quantization.scale
    if weights.dtype == "uint8" or scales is None or float(scales.min()) == float(scales.max()):
        return 1
    return 2 if dense else 3


def dense_bytes(outputs: int, steps: int, values: int = 1) -> int:
    """Return the padded bytes of a dense layer or convolution.

    Args:
        outputs: output channels.
        steps: groups of 4 input channels, all positions of the filter together.
        values: see :func:`values_a_channel`.

    >>> dense_bytes(256, 64, values=2)
    67584
    """
    groups = [ROWS] * (up(outputs, ROWS) // ROWS) if outputs > ROWS else [outputs]
    return sum((values + steps) * up(rows * VALUE, LINE) for rows in groups)


def depthwise_bytes(channels: int, taps: int, values: int = 1) -> int:
    """Return the padded bytes of a depthwise convolution: channels go 4 by 4 as a 4x4 diagonal each tap."""
    padded = up(channels, COLUMNS)
    return padded * DEPTHWISE_1X1 if taps == 1 else padded * (values * VALUE + COLUMNS * taps)


def softmax_bytes(elements: int) -> int:
    """Return the bytes of the constants of a uint8 softmax.

    >>> softmax_bytes(1001)
    48256
    """
    return SOFTMAX_LINES * LINE * (up(elements, COLUMNS) // COLUMNS) + LINE


def layer(graph: Graph, op: Operator) -> Layer:
    """Return what the parameters of a mapped operator take."""
    size = operator_bytes(graph, op)
    if op.op == "FULLY_CONNECTED":
        # A tile holds whole groups of 64 output channels, and all tiles use the same addresses.
        groups = up(graph.tensors[op.inputs[1]].shape[0], ROWS) // ROWS
        return Layer(op.index, size, up(groups, TILES) // TILES * (size // groups), dense=True)
    return Layer(op.index, size, up(_whole_rows(graph, op, size), TILES) // TILES)


def _whole_rows(graph: Graph, op: Operator, size: int) -> int:
    """Return the bytes with the output channels of a convolution filled up to 64: what it takes on chip."""
    if op.op not in ("CONV_2D", "TRANSPOSE_CONV"):
        return size
    outputs = graph.tensors[op.inputs[1]].shape[0]
    return size if outputs > ROWS else size * ROWS * VALUE // up(outputs * VALUE, LINE)


def operator_bytes(graph: Graph, op: Operator) -> int:
    """Return the padded parameter bytes of one operator; arithmetic and activations take none."""
    if op.op in ("CONV_2D", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return _weights_bytes(graph, op)
    if op.op == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return _lstm_bytes(graph, op)
    source = graph.tensors[op.inputs[0]]
    if op.op == "SOFTMAX":
        return softmax_bytes(source.shape[-1]) if source.dtype == "uint8" else 0
    if op.op == "TRANSPOSE":
        positions = source.elements // max(source.shape[-1], 1)
        return dense_bytes(positions, up(positions, COLUMNS) // COLUMNS)
    if op.op in ("CONCATENATION", "SPLIT"):
        parts = [
            t for t in (*graph.input_tensors(op), *graph.output_tensors(op)) if t is not None and t.shape
        ]
        return LINE if any(t.shape[-1] % COLUMNS for t in parts if t.dtype in ("int8", "uint8")) else 0
    constants = [t for t in graph.input_tensors(op) if t is not None and t.is_constant]
    return sum(up(t.nbytes, LINE) for t in constants if t.dtype in ("int8", "uint8"))


def _weights_bytes(graph: Graph, op: Operator) -> int:
    weights, source = graph.tensors[op.inputs[1]], graph.tensors[op.inputs[0]]
    if op.op == "FULLY_CONNECTED":
        outputs, inputs = weights.shape
        depth = source.shape[-1] if len(source.shape) == 4 else inputs
        steps = inputs // max(depth, 1) * (up(depth, COLUMNS) // COLUMNS)
        return dense_bytes(outputs, steps, values_a_channel(weights, dense=True))
    first, height, width, last = weights.shape
    values = values_a_channel(weights)
    if op.op == "DEPTHWISE_CONV_2D":
        if source.shape[-1] == 1:
            return dense_bytes(last, height * width, values)
        return depthwise_bytes(last, height * width, values)
    return dense_bytes(first, height * width * (up(last, COLUMNS) // COLUMNS), values)


def _lstm_bytes(graph: Graph, op: Operator) -> int:
    matrices = [graph.tensors[t] for t in op.inputs[1:9] if t >= 0]
    units, steps = matrices[-1].shape[-1], graph.tensors[op.inputs[0]].shape[-2]
    aside = LINE * LSTM_LINES_A_STEP * (steps + 1) * (up(units, ROWS) // ROWS)
    both = [(m.shape[0], up(m.shape[1], COLUMNS) // COLUMNS, values_a_channel(m)) for m in matrices]
    return aside + sum(dense_bytes(*one) for one in both)
