"""Channels that say nothing are left out: those that never change, and those that nobody reads.

A channel never changes where all weights that make it are 0 (pruning, or a batch normalisation that was folded with a
factor of 0); what it always says goes into the biases of the layers that read it. Nobody reads one whose weights are 0
in every layer that does. Both are found in the numbers, so that the model says the same; channels that are only nearly
so stay.

A channel is followed from a convolution or dense layer through depthwise convolutions, activations and pooling to the
convolutions and dense layers that read it. Where it goes elsewhere (a sum of branches, an output), it stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.findings import Finding
from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor

Array = npt.NDArray[Any]
MAKERS = ("CONV_2D", "FULLY_CONNECTED")
POINTWISE: Mapping[str, Any] = {
    "NONE": lambda v: v,
    "RELU": lambda v: np.maximum(v, 0),
    "RELU6": lambda v: np.clip(v, 0, 6),
    "RELU_N1_TO_1": lambda v: np.clip(v, -1, 1),
}
KEEP_VALUE = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RESHAPE")
WEIGHTS, BIAS = 1, 2


@dataclass
class _Path:
    """Where the channels of a layer go: all operators on the way, in order, and those that read them at last.

    Args:
        constant: what each channel always says, NaN where it changes.
    """

    maker: Operator
    constant: Array
    tensors: list[int] = field(default_factory=list)
    depthwise: list[Operator] = field(default_factory=list)
    reshapes: list[Operator] = field(default_factory=list)
    readers: list[tuple[Operator, Array]] = field(default_factory=list)

    @property
    def operators(self) -> set[int]:
        """Indices of all operators that change with the channels."""
        ends = [op for op, _ in self.readers]
        return {op.index for op in (self.maker, *self.depthwise, *self.reshapes, *ends)}


@dataclass(frozen=True)
class Removed:
    """What was left out.

    Args:
        channels: how many, by the name of the layer's output.
        weights: weights and biases fewer.
        products: fewer an inference.
    """

    channels: Mapping[str, int]
    weights: int
    products: int

    @property
    def findings(self) -> list[Finding]:
        """What a person should know of it."""
        if not self.channels:
            return []
        named = list(self.channels.items())
        layers = ", ".join(f"{name} ({count})" for name, count in named[:4]) + (
            " ..." if len(named) > 4 else ""
        )
        return [
            Finding(
                "info",
                "dead-channels",
                f"{sum(self.channels.values())} channels that never change or that nothing reads are left out:"
                f" {self.weights:,} weights and {self.products:,} products an inference fewer; {layers}",
            )
        ]


def without_dead_channels(model: bytes) -> tuple[bytes, Removed]:
    """Return a float model that says the same with fewer channels, and what was left out."""
    first = graph = Graph.from_bytes(model)
    channels: dict[str, int] = {}
    while found := list(_apart(graph)):
        editor = Editor.from_bytes(graph.data)
        editor.forget_dynamic()
        for path, keep in found:
            name = graph.tensors[path.maker.outputs[0]].name
            channels[name] = channels.get(name, 0) + int((~keep).sum())
            _shrink(editor, graph, path, keep)
        editor.sweep()
        graph = Graph.from_bytes(editor.pack())
    before, after = _size(first), _size(graph)
    return graph.data, Removed(channels, before[0] - after[0], before[1] - after[1])


def _apart(graph: Graph) -> Iterator[tuple[_Path, npt.NDArray[np.bool_]]]:
    """Yield the layers that have channels to leave out and which ones stay, no operator in two of their paths.

    What overlaps waits for the next round: one shrinks what the other one looked at.
    """
    taken: set[int] = set()
    for op in graph.operators:
        path = None if op.index in taken else _path_of(graph, op)
        keep = None if path is None else _alive(graph, path)
        if path is None or keep is None or keep.all() or taken & path.operators:
            continue
        taken |= path.operators
        yield path, keep


def _path_of(graph: Graph, op: Operator) -> _Path | None:
    """Return where the channels of a layer go; None where they go elsewhere, or its numbers are not its own."""
    if op.op not in MAKERS or not _own(graph, op):
        return None
    act = POINTWISE.get(str(op.options.get("fused_activation_function", "NONE")))
    if act is None:
        return None
    weights, bias = _data(graph, op, WEIGHTS), _bias(graph, op)
    silent = ~weights.reshape(len(weights), -1).any(axis=1)
    path = _Path(op, np.where(silent, act(bias), np.nan))
    return path if _follow(graph, path, op.outputs[0], path.constant) else None


def _follow(graph: Graph, path: _Path, tensor: int, value: Array) -> bool:
    """Follow the channels of a tensor to their readers; ``value``: what each always says there, or NaN."""
    if tensor in graph.outputs or not graph.consumers[tensor]:
        return False
    path.tensors.append(tensor)
    return all(_pass(graph, path, reader, tensor, value) for reader in graph.consumers[tensor])


def _pass(graph: Graph, path: _Path, op: Operator, tensor: int, value: Array) -> bool:
    channels = len(value)
    if (
        op.inputs[0] != tensor
        or list(op.inputs).count(tensor) != 1
        or graph.tensors[tensor].shape[-1] != channels
    ):
        return False
    if op.op in MAKERS:
        return _end(graph, path, op, value)
    act = POINTWISE.get(
        op.op if op.op in POINTWISE else str(op.options.get("fused_activation_function", "NONE"))
    )
    if act is None:
        return False
    if op.op == "DEPTHWISE_CONV_2D":
        weights = _data(graph, op, WEIGHTS) if _own(graph, op) else None
        if weights is None or weights.shape[-1] != channels:
            return False
        path.depthwise.append(op)
        value = act(_through(weights, _bias(graph, op), op, value))
    elif op.op in POINTWISE or (op.op in KEEP_VALUE and _keeps_channels(graph, op, channels)):
        if op.op == "RESHAPE":
            path.reshapes.append(op)
        value = act(value)
    else:
        return False
    return _follow(graph, path, op.outputs[0], value)


def _through(weights: Array, bias: Array, op: Operator, value: Array) -> Array:
    """Return what a depthwise convolution makes of channels that never change: at a border of zeros they do."""
    total = weights.reshape(-1, len(value)).sum(axis=0, dtype=np.float64)
    bordered = op.options.get("padding") == "SAME" and weights.shape[1:3] != (1, 1)
    inside = np.where(value == 0, 0.0, np.nan if bordered else value * total)
    return np.where(weights.reshape(-1, len(value)).any(axis=0), inside, 0.0) + bias


def _end(graph: Graph, path: _Path, op: Operator, value: Array) -> bool:
    if not _own(graph, op) or _data(graph, op, WEIGHTS).shape[-1] != len(value):
        return False
    weights = _data(graph, op, WEIGHTS)
    bordered = op.op == "CONV_2D" and op.options.get("padding") == "SAME" and weights.shape[1:3] != (1, 1)
    has_bias = len(op.inputs) > BIAS and op.inputs[BIAS] >= 0
    # Without a bias, or with a border of zeros, only a channel of zeros can go.
    path.readers.append((op, np.where((value == 0) | (has_bias and not bordered), value, np.nan)))
    return True


def _alive(graph: Graph, path: _Path) -> npt.NDArray[np.bool_] | None:
    """Return which channels stay: at least one."""
    changes = np.any([np.isnan(value) for _, value in path.readers], axis=0)
    read = np.any(
        [_data(graph, op, WEIGHTS).reshape(-1, len(changes)).any(axis=0) for op, _ in path.readers], axis=0
    )
    keep: npt.NDArray[np.bool_] = changes & read
    if not keep.any():
        keep[0] = True
    return keep


def _shrink(editor: Editor, graph: Graph, path: _Path, keep: npt.NDArray[np.bool_]) -> None:
    def put(op: Operator, slot: int, values: Array) -> None:
        if len(op.inputs) > slot and op.inputs[slot] >= 0:
            editor.set_constant(op.inputs[slot], np.ascontiguousarray(values, np.float32))

    put(path.maker, WEIGHTS, _data(graph, path.maker, WEIGHTS)[keep])
    put(path.maker, BIAS, _bias(graph, path.maker)[keep])
    for op in path.depthwise:
        put(op, WEIGHTS, _data(graph, op, WEIGHTS)[..., keep])
        put(op, BIAS, _bias(graph, op)[keep])
    for op, value in path.readers:
        weights = _data(graph, op, WEIGHTS)
        always = np.where(keep | np.isnan(value), 0.0, value)
        told = (weights.reshape(len(weights), -1, len(keep)).sum(axis=1, dtype=np.float64) * always).sum(
            axis=1
        )
        put(op, WEIGHTS, weights[..., keep])
        put(op, BIAS, _bias(graph, op) + told)
    for t in path.tensors:
        shape = (*graph.tensors[t].shape[:-1], int(keep.sum()))
        editor.graph.tensors[t].shape = np.asarray(shape, np.int32)
    for op in path.reshapes:
        shape = (*graph.tensors[op.outputs[0]].shape[:-1], int(keep.sum()))
        editor.replace([editor.node(op.index)], [_reshape(editor, op, shape)])


def _reshape(editor: Editor, op: Operator, shape: tuple[int, ...]) -> Any:
    wanted = editor.constant(np.asarray(shape, np.int32))
    return editor.operator("RESHAPE", [op.inputs[0], wanted], op.outputs)


def _keeps_channels(graph: Graph, op: Operator, channels: int) -> bool:
    """Whether the last dimension of what an operator writes is the channels that it reads."""
    result = graph.tensors[op.outputs[0]]
    if not result.shape or result.shape[-1] != channels:
        return False
    if op.op == "RESHAPE":
        return result.elements == channels
    if op.op == "MEAN":
        axes = graph.tensors[op.inputs[1]].data
        rank = len(graph.tensors[op.inputs[0]].shape)
        return axes is not None and rank - 1 not in {int(a) % rank for a in axes.reshape(-1)}
    return True


def _own(graph: Graph, op: Operator) -> bool:
    """Whether a layer's weights and bias are constants that nothing else reads, one bias a channel."""
    parts = [t for t in op.inputs[1:] if t >= 0]
    if any(graph.tensors[t].shape != graph.tensors[op.outputs[0]].shape[-1:] for t in parts[1:]):
        return False
    return all(
        graph.tensors[t].data is not None
        and graph.tensors[t].dtype == "float32"
        and len(graph.consumers[t]) == 1
        and t not in graph.outputs
        for t in parts
    )


def _data(graph: Graph, op: Operator, slot: int) -> Array:
    values = graph.tensors[op.inputs[slot]].data
    assert values is not None
    return values


def _bias(graph: Graph, op: Operator) -> Array:
    if len(op.inputs) > BIAS and op.inputs[BIAS] >= 0:
        return _data(graph, op, BIAS)
    count = graph.tensors[op.outputs[0]].shape[-1]
    return np.zeros(count, np.float32)


def _size(graph: Graph) -> tuple[int, int]:
    """Return the weights and biases of all layers, and their products an inference."""
    weights = products = 0
    for op in graph.operators:
        if op.op not in (*MAKERS, "DEPTHWISE_CONV_2D"):
            continue
        kernel, result = graph.tensors[op.inputs[WEIGHTS]], graph.tensors[op.outputs[0]]
        each = kernel.elements if op.op in MAKERS else kernel.elements // kernel.shape[0]
        weights += sum(graph.tensors[t].elements for t in op.inputs[1:] if t >= 0)
        products += each * (result.elements // result.shape[-1])
    return weights, products
