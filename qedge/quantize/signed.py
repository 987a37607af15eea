"""Full-integer models of the older kind, in uint8, written in int8 without their float model or any data.

Activations keep their scale and every code, 128 lower, so that nothing about them changes. Weights of uint8 may have
any zero point, those of int8 have none (TFLite's 8-bit specification): a channel whose distances from the zero point
are at most 127 keeps them as its codes and is exact; any other gets a step of its own, coarser by as much as its
largest weight asks for. Where int8 kernels copy codes and those of uint8 rescale them, a QUANTIZE does so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import UnsupportedError
from qedge.graph import Graph, Operator, Tensor
from qedge.graph.edit import Editor, affine
from qedge.quantize.affine import STEPS
from qedge.quantize.rules import RULES, Rule

HALF = 128
PER_CHANNEL = {"FULLY_CONNECTED": 12}
"""Versions with one scale a channel, where the first with int8 has not."""
VERSIONS: Mapping[str, int] = {"QUANTIZE": 2, "DEQUANTIZE": 2, "CAST": 1, "SHAPE": 1}
"""Versions with int8 of operators that `RULES` does not know."""


@dataclass(frozen=True)
class Signed:
    """A model that was written in int8.

    Args:
        data: the ``.tflite``.
        exact: channels of weights that kept their codes.
        channels: all channels of weights.
    """

    data: bytes
    exact: int
    channels: int


def is_unsigned(graph: Graph) -> bool:
    """Whether an operator computes in uint8; conversions at the ends alone say nothing."""
    return any(
        _unsigned(t)
        for op in graph
        if op.op != "QUANTIZE"
        for t in graph.output_tensors(op)
        if not t.is_constant
    )


def in_int8(data: bytes) -> Signed:
    """Return a uint8 model in int8: the same operators, names and scales.

    Raises:
        UnsupportedError: it has operators of which no int8 form is known, or control flow.
    """
    graph, editor = Graph.from_bytes(data), Editor.from_bytes(data)
    unknown = sorted({op.custom_name or op.op for op in graph if _version(graph, op) is None})
    if unknown or len(graph.subgraphs) > 1:
        raise UnsupportedError(
            f"no int8 form is known of {', '.join(unknown) or 'control flow'} in uint8",
            hint="build from the float model, or apart for targets that run uint8 as it is",
        )
    exact = channels = 0
    for op in graph:
        rule, node, version = RULES.get(op.op), editor.node(op.index), _version(graph, op)
        assert version is not None
        if rule is not None and rule.kind == "weights" and _unsigned(graph.tensors[op.inputs[rule.weight]]):
            kept = _weights(graph, editor, op, rule)
            exact, channels = exact + int(kept.sum()), channels + kept.size
            version = version if kept.all() else max(version, PER_CHANNEL.get(op.op, 1))
        node.opcodeIndex = editor.opcode(op.op, max(op.version, version))
        if rule is not None and rule.kind == "tied":
            _tie(graph, editor, op)
    for t in graph.tensors:
        if _unsigned(t):
            _shift(editor, t)
    editor.sweep(share=True)
    return Signed(editor.pack(), exact, channels)


def lowered(codes: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """Return uint8 codes as int8: every one 128 lower."""
    return (codes.astype(np.int16) - HALF).astype(np.int8)


def _unsigned(tensor: Tensor) -> bool:
    return tensor.dtype == "uint8" and tensor.quantization is not None


def _version(graph: Graph, op: Operator) -> int | None:
    """Return the first version of an operator with int8; its own where it touches no uint8, None where unknown."""
    touched = [*graph.input_tensors(op), *graph.output_tensors(op)]
    if not any(t is not None and _unsigned(t) for t in touched):
        return op.version
    return RULES[op.op].version if op.op in RULES else VERSIONS.get(op.op)


def _shift(editor: Editor, t: Tensor) -> None:
    """Make a uint8 tensor int8: every code 128 lower, and with them the zero point."""
    held, q = editor.tensors[t.index], t.quantization
    assert q is not None
    if t.data is not None:
        editor.set_constant(t.index, lowered(t.data))
    editor.set_dtype(t.index, "int8")
    held.quantization = affine(q.scale, q.zero_point - HALF, q.axis)


def _weights(graph: Graph, editor: Editor, op: Operator, rule: Rule) -> npt.NDArray[np.bool_]:
    """Give an operator int8 weights, and its bias the scale that follows; return which channels keep their codes."""
    tensor = graph.tensors[op.inputs[rule.weight]]
    assert tensor.data is not None
    assert tensor.quantization is not None
    q, node = tensor.quantization, editor.node(op.index)
    rows = np.moveaxis(tensor.data.astype(np.float64) - float(q.zero_point.flat[0]), rule.axis, 0)
    largest = np.abs(rows.reshape(len(rows), -1)).max(axis=1)
    steps = np.maximum(largest / STEPS["int8"], 1.0)
    exact: npt.NDArray[np.bool_] = steps == 1.0
    codes = np.rint(rows / steps.reshape(-1, *[1] * (rows.ndim - 1)))
    scale = float(q.scale.flat[0]) * (np.ones(1) if exact.all() else steps)
    axis = 0 if exact.all() else rule.axis
    inputs = [int(t) for t in op.inputs]
    inputs[rule.weight] = editor.constant(
        np.moveaxis(codes, 0, rule.axis).astype(np.int8), tensor.name, quantization=affine(scale, 0, axis)
    )
    bias = (
        graph.tensors[inputs[rule.bias]] if 0 <= rule.bias < len(inputs) and inputs[rule.bias] >= 0 else None
    )
    data = graph.tensors[op.inputs[(rule.data or (0,))[0]]].quantization
    if bias is not None and bias.data is not None and data is not None:
        values = np.rint(bias.data.astype(np.float64) / steps).astype(np.int32)
        product = float(data.scale.flat[0]) * scale
        inputs[rule.bias] = editor.constant(values, bias.name, quantization=affine(product))
    node.inputs = np.array(inputs, np.int32)
    return exact


def _tie(graph: Graph, editor: Editor, op: Operator) -> None:
    """Requantise inputs with another scale than the output, which uint8 operators rescale and int8 ones copy."""
    node, output = editor.node(op.index), graph.tensors[op.outputs[0]]
    if not _unsigned(output):
        return
    made = []
    for k, t in enumerate(op.inputs):
        tensor = graph.tensors[t] if t >= 0 else None
        if tensor is None or not _unsigned(tensor) or _same(tensor, output):
            continue
        tied = editor.tensor_like(op.outputs[0], f"{tensor.name}/tied", tensor.shape)
        _shift_computed(editor, tied, output)
        made.append(editor.operator("QUANTIZE", [t], [tied], version=2))
        node.inputs = np.array([tied if i == k else int(u) for i, u in enumerate(node.inputs)], np.int32)
    if made:
        editor.replace([node], [*made, node])


def _shift_computed(editor: Editor, index: int, like: Tensor) -> None:
    assert like.quantization is not None
    scale, zero_point = like.quantization.scalar
    editor.set_dtype(index, "int8")
    editor.tensors[index].quantization = affine(scale, zero_point - HALF)


def _same(a: Tensor, b: Tensor) -> bool:
    assert a.quantization is not None
    assert b.quantization is not None
    (scale, zero), (other, point) = a.quantization.scalar, b.quantization.scalar
    return zero == point and abs(scale - other) <= 1e-6 * other
