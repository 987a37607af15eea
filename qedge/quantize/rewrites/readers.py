"""Which layers read an activation, however it is pooled or reshaped on the way, and factors moved into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.quantize.channels import keeps_channels
from qedge.quantize.plan import weight_slots

Float = npt.NDArray[np.float64]
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_SHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
_POOLS = ("AVERAGE_POOL_2D", "MEAN", "MAX_POOL_2D", "PAD")


@dataclass
class Readers:
    """What stands between an activation and the layers that read it.

    Args:
        layers: every one of them; nothing else reads the activation.
        padded: whether zeros are put beside it on the way, which an added constant does not survive.
        largest: whether the largest of several values is taken, which a negative factor does not survive.
    """

    layers: list[Operator]
    padded: bool = False
    largest: bool = False


def readers_of(graph: Graph, tensor: int) -> Readers | None:
    """Return the layers with weights that are all that reads a tensor, whose last axis is channels; None where
    anything else reads it."""
    found = Readers([])
    return found if _follow(graph, tensor, graph.tensors[tensor].shape[-1], found) else None


def _follow(graph: Graph, tensor: int, channels: int, found: Readers) -> bool:
    if tensor in graph.outputs or not graph.consumers[tensor]:
        return False
    for op in graph.consumers[tensor]:
        if op.op in _LAYERS and op.inputs[0] == tensor:
            weight, bias = weight_slots(graph, op)
            constants = [c for c in (weight, bias) if c >= 0]
            if any(not graph.tensors[c].is_constant or len(graph.consumers[c]) != 1 for c in constants):
                return False
            if _inputs(graph, op) % channels or (
                op.op != "FULLY_CONNECTED" and _inputs(graph, op) != channels
            ):
                return False
            found.layers.append(op)
            found.padded |= _pads(graph, op)
        elif op.op in (*_SHAPES, *_POOLS) and op.inputs[0] == tensor and _keeps(graph, op, channels):
            found.padded |= op.op == "PAD"
            found.largest |= op.op == "MAX_POOL_2D"
            if not _follow(graph, op.outputs[0], channels, found):
                return False
        else:
            return False
    return True


def _inputs(graph: Graph, op: Operator) -> int:
    if op.op == "DEPTHWISE_CONV_2D":
        return graph.tensors[op.inputs[0]].shape[-1]
    return graph.tensors[op.inputs[1]].shape[-1]


def _pads(graph: Graph, op: Operator) -> bool:
    if op.op == "FULLY_CONNECTED" or op.options.get("padding") == "VALID":
        return False
    return graph.tensors[op.inputs[1]].shape[1:3] != (1, 1)


def _keeps(graph: Graph, op: Operator, channels: int) -> bool:
    source, result = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
    if not source or not result or op.options.get("fused_activation_function", "NONE") != "NONE":
        return False
    if op.op in _SHAPES:
        return source[-1] % channels == 0 and result[-1] % channels == 0
    return keeps_channels(graph, op, channels)


def take_up(graph: Graph, editor: Editor, layer: Operator, factor: Float, offset: Float) -> None:
    """Let a layer read ``x`` where it read ``x * factor + offset``, one value a channel: weights and bias change."""
    weight, bias = weight_slots(graph, layer)
    values = _data(graph, weight).astype(np.float64)
    inputs = _inputs(graph, layer)
    scale, shift = (np.tile(v, inputs // v.size) for v in (factor, offset))
    if layer.op == "DEPTHWISE_CONV_2D":
        scale, shift = (np.repeat(v, values.shape[-1] // inputs) for v in (scale, shift))
        added = (values * shift).sum(axis=(0, 1, 2))
    else:
        added = (values * shift).sum(axis=tuple(range(1, values.ndim)))
    editor.set_constant(weight, (values * scale).astype(np.float32))
    if bias >= 0:
        editor.set_constant(bias, (_data(graph, bias).astype(np.float64) + added).astype(np.float32))
    elif added.any():
        node = editor.node(layer.index)
        made = editor.constant(added.astype(np.float32))
        node.inputs = np.array([*layer.inputs[:2], made], np.int32)


def _data(graph: Graph, tensor: int) -> npt.NDArray[Any]:
    found = graph.tensors[tensor].data
    assert found is not None
    return found


@dataclass(frozen=True)
class Step:
    """One operator that is ``x * factor + offset`` with constants, one value a channel of the last axis."""

    source: int
    result: int
    factor: Float
    offset: Float


def step_of(graph: Graph, op: Operator) -> Step | None:
    """Return what a MUL, ADD, SUB or DIV with one constant a channel does, or None."""
    if op.op not in ("MUL", "ADD", "SUB", "DIV") or op.options.get("fused_activation_function") != "NONE":
        return None
    shape = graph.tensors[op.outputs[0]].shape
    constant = [k for k in (0, 1) if graph.tensors[op.inputs[k]].is_constant]
    if len(constant) != 1 or not shape or graph.tensors[op.outputs[0]].dtype != "float32":
        return None
    k = constant[0]
    source, values = op.inputs[1 - k], _data(graph, op.inputs[k]).astype(np.float64)
    if graph.tensors[source].shape != shape or values.size not in (1, shape[-1]):
        return None
    if values.size > 1 and values.shape[-1] != shape[-1]:
        return None
    one = np.broadcast_to(values.reshape(-1), (shape[-1],)).copy()
    zeros, ones = np.zeros(shape[-1]), np.ones(shape[-1])
    if op.op == "MUL":
        return Step(source, op.outputs[0], one, zeros)
    if op.op == "ADD":
        return Step(source, op.outputs[0], ones, one)
    if op.op == "SUB":
        return Step(source, op.outputs[0], ones, -one) if k == 1 else Step(source, op.outputs[0], -ones, one)
    if k == 1 and (one != 0).all():
        return Step(source, op.outputs[0], 1 / one, zeros)
    return None
