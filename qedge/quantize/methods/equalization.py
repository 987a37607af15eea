"""Evens out the channels of an activation by moving factors from the layers before to the layers behind.

Across layers: Nagel et al., "Data-free quantization through weight equalization and bias correction"
(arXiv 1906.04721), section 4.1. From activations, across LayerNorm and Dense too: Xiao et al., "SmoothQuant"
(arXiv 2211.10438). What the model computes stays the same; only constants change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.quantize.channels import keeps_channels
from qedge.quantize.model import STEPS_PER_OCTAVE, FloatModel, factor_of
from qedge.quantize.plan import weight_slots
from qedge.quantize.rules import RULES

Float = npt.NDArray[np.float64]
# Operators that hand a factor of a channel through from their first input.
_THROUGH = {
    "RELU",
    "LEAKY_RELU",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "PAD",
    "MEAN",
    "RESHAPE",
    "SQUEEZE",
    "EXPAND_DIMS",
}
_HOMOGENEOUS = ("NONE", "RELU")


@dataclass(frozen=True)
class Link:
    """An activation whose channels may be scaled apart.

    Args:
        tensor: the activation that the layers behind read.
        channels: size of its last axis.
        divided: (constant, axis) that make it, to be divided by the factors.
        multiplied: (weights, axis of their input channels) that read it, to be multiplied by them.
        free: whether the readers scale each input channel on its own (depthwise), so nothing is lost.
        scaled: every activation that is divided by the factors on the way, the last one included.
    """

    tensor: int
    channels: int
    divided: tuple[tuple[int, int], ...]
    multiplied: tuple[tuple[int, int], ...]
    free: bool
    scaled: tuple[int, ...]


@dataclass
class _Upstream:
    """What has to be divided so that one tensor is; filled while walking upwards."""

    tensors: set[int] = field(default_factory=set)
    constants: dict[int, int] = field(default_factory=dict)


def find_links(graph: Graph) -> list[Link]:
    """Return every activation of the graph that can be equalised, in execution order."""
    links = []
    for op in graph.operators:
        for t in op.outputs:
            link = _link(graph, t)
            if link is not None:
                links.append(link)
    return links


def equalize(model: FloatModel, largest: dict[int, Float], *, share: float = 1.0) -> FloatModel:
    """Return a model that computes the same with more even channels.

    Args:
        largest: largest magnitude of each channel of the links' tensors, from calibration.
        share: 1 evens out the activations alone; below 1 the weights behind keep their part:
            factor = activation**share / weight**(1 - share). Readers that lose nothing always take 1.
    """
    values: dict[int, npt.NDArray[Any]] = {}
    steps: dict[str, tuple[int, ...]] = {}

    def data(t: int) -> npt.NDArray[Any]:
        if t not in values:
            found = model.graph.tensors[t].data
            assert found is not None
            values[t] = found.astype(np.float64)
        return values[t]

    for link in find_links(model.graph):
        if link.tensor not in largest:
            continue
        weights = np.zeros(link.channels)
        for t, axis in link.multiplied:
            weights = np.maximum(weights, _largest_of(data(t), axis, link.channels))
        taken = _factors(largest[link.tensor], weights, 1.0 if link.free else share)
        factor = factor_of(taken)
        steps.update({model.graph.tensors[t].name: tuple(int(e) for e in taken) for t in link.scaled})
        for t, axis in link.divided:
            values[t] = data(t) / _spread(factor, data(t), axis)
        for t, axis in link.multiplied:
            values[t] = data(t) * _spread(factor, data(t), axis)
    return with_constants(model, values, steps) if values else model


def with_constants(
    model: FloatModel, values: dict[int, npt.NDArray[Any]], steps: Mapping[str, tuple[int, ...]]
) -> FloatModel:
    """Return the model with other values in some constants, each in a buffer of its own."""
    editor = model.editor()
    for t, new in values.items():
        editor.set_constant(t, np.asarray(new, np.float32))
    return replace(FloatModel.from_bytes(editor.pack()), steps=steps)


def _factors(activation: Float, weights: Float, share: float) -> npt.NDArray[np.int64]:
    """Return the factor of each channel in steps (:func:`factor_of`), 0 for dead ones; their mean is about 0."""
    live = (activation > 0) & (weights > 0)
    steps = np.zeros(activation.shape, np.int64)
    if live.any():
        wanted = share * np.log2(activation[live]) - (1.0 - share) * np.log2(weights[live])
        steps[live] = np.rint((wanted - wanted.mean()) * STEPS_PER_OCTAVE)
    return np.clip(steps, -127, 127)


def _spread(factor: Float, values: npt.NDArray[Any], axis: int) -> Float:
    """Return the factors shaped to broadcast along ``axis``, repeated where a RESHAPE flattened positions."""
    if values.ndim == 0 or values.shape[axis] == 1:
        raise AssertionError("a constant without channels cannot be scaled")
    repeated = np.tile(factor, values.shape[axis] // factor.size)
    shape = [1] * values.ndim
    shape[axis] = repeated.size
    return repeated.reshape(shape)


def _largest_of(values: npt.NDArray[Any], axis: int, channels: int) -> Float:
    found = np.abs(values).max(axis=tuple(a for a in range(values.ndim) if a != axis % values.ndim))
    result: Float = found.reshape(-1, channels).max(axis=0)
    return result


def _link(graph: Graph, t: int) -> Link | None:
    tensor = graph.tensors[t]
    if tensor.dtype != "float32" or not tensor.shape or t in graph.outputs or tensor.shape[-1] < 2:
        return None
    readers = graph.consumers[t]
    multiplied = []
    for op in readers:
        axis = _input_axis(graph, op, t, tensor.shape[-1])
        if axis is None:
            return None
        multiplied.append((weight_slots(graph, op)[0], axis))
    if not multiplied or len({w for w, _ in multiplied}) != len(multiplied):
        return None
    up = _Upstream()
    if not _divide(graph, t, tensor.shape[-1], up):
        return None
    inside = up.tensors - {t}
    for u in inside:
        # A tensor on the way that somebody else reads would change for that reader.
        if any(not set(op.outputs) & up.tensors for op in graph.consumers[u]) or u in graph.outputs:
            return None
    if any(len(graph.consumers[c]) != 1 for c, _ in multiplied):
        return None
    if any(not set(op.outputs) & up.tensors for c in up.constants for op in graph.consumers[c]):
        return None
    free = all(op.op == "DEPTHWISE_CONV_2D" for op in readers)
    return Link(
        t, tensor.shape[-1], tuple(up.constants.items()), tuple(multiplied), free, tuple(sorted(up.tensors))
    )


def _input_axis(graph: Graph, op: Operator, t: int, channels: int) -> int | None:
    """Return the axis of the weights along ``t``'s channels, or None where ``op`` cannot take factors."""
    rule = RULES.get(op.op)
    if rule is None or rule.kind != "weights" or op.op == "TRANSPOSE_CONV" or op.inputs[0] != t:
        return None
    weight = graph.tensors[weight_slots(graph, op)[0]]
    if not weight.is_constant:
        return None
    if op.op == "DEPTHWISE_CONV_2D":
        return 3 if weight.shape[3] == channels else None
    axis = len(weight.shape) - 1
    return axis if weight.shape[axis] == channels else None


def _divide(graph: Graph, t: int, channels: int, up: _Upstream) -> bool:
    """Collect what makes ``t`` a factor smaller a channel; False where something does not follow."""
    if t in up.tensors:
        return True
    tensor = graph.tensors[t]
    if tensor.is_constant:
        if tensor.dtype != "float32" or not tensor.shape or tensor.shape[-1] != channels:
            return False
        up.constants[t] = len(tensor.shape) - 1
        return True
    op = graph.producer.get(t)
    if op is None or t in graph.inputs or not tensor.shape or tensor.shape[-1] != channels:
        return False
    up.tensors.add(t)
    if op.options.get("fused_activation_function", "NONE") not in _HOMOGENEOUS:
        return False
    rule = RULES.get(op.op)
    if rule is not None and rule.kind == "weights":
        return _divide_layer(graph, op, channels, up)
    if op.op in ("ADD", "SUB"):
        return all(_divide(graph, x, channels, up) for x in op.inputs)
    if op.op == "MUL":
        return _divide_one(graph, op, channels, up)
    if op.op in _THROUGH and keeps_channels(graph, op, channels):
        return _divide(graph, op.inputs[0], channels, up)
    return False


def _divide_layer(graph: Graph, op: Operator, channels: int, up: _Upstream) -> bool:
    weight, bias = weight_slots(graph, op)
    axis = RULES[op.op].axis
    if op.op == "TRANSPOSE_CONV" or not graph.tensors[weight].is_constant:
        return False
    if graph.tensors[weight].shape[axis] != channels:
        return False
    up.constants[weight] = axis
    if bias >= 0:
        up.constants[bias] = 0
    return True


def _divide_one(graph: Graph, op: Operator, channels: int, up: _Upstream) -> bool:
    """Divide one factor of a product: one that is divided already, a constant, or whatever can be."""
    inside = [x for x in op.inputs if x in up.tensors]
    if inside:
        return len(inside) == 1
    # The fewer readers, the less else has to follow: gamma in LayerNorm rather than what it normalises.
    ordered = sorted(op.inputs, key=lambda x: len(graph.consumers[x]))
    for x in ordered:
        trial = _Upstream(set(up.tensors), dict(up.constants))
        if _divide(graph, x, channels, trial):
            up.tensors, up.constants = trial.tensors, trial.constants
            return True
    return False
