"""SOFTMAX and LOG_SOFTMAX that a full-integer model ends with in float, in integers too.

A model that was quantised up to its scores keeps the function behind them in float: PyTorch's ``log_softmax``, a Keras
head that QAT did not wrap. Its range is known beforehand, 0 to 1, or -16 to 0, and so is the scale that TFLite's own
integer kernels insist on. The scores stay as they are; only the results have steps, of 1/256 or 1/16.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor, Node, affine

SCALES = {
    ("SOFTMAX", "int8"): (1 / 256, -128),
    ("SOFTMAX", "int16"): (1 / 32768, 0),
    ("LOG_SOFTMAX", "int8"): (16 / 256, 127),
}
"""Scale and zero point of the result by operator and type, as the kernels have them."""
_MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE")


@dataclass(frozen=True)
class Tailed:
    """A model whose last function is in integers.

    Args:
        data: the ``.tflite``.
        operators: what that was, each name once.
        step: the coarsest of the steps that results have.
    """

    data: bytes
    operators: tuple[str, ...]
    step: float


def in_integers(data: bytes) -> Tailed | None:
    """Return a model with such functions in integers, its outputs float as before; None where it has none."""
    graph, editor = Graph.from_bytes(data), Editor.from_bytes(data)
    kinds = {name for name, _ in SCALES}
    found = [(op, way) for op in graph if op.op in kinds and (way := _way(graph, op))]
    if not found:
        return None
    for op, way in found:
        _write(editor, graph, op, way)
    _drop_unread(editor)
    editor.sweep()
    steps = {op.op: _scale(graph, op, way)[0] for op, way in found}
    return Tailed(editor.pack(), tuple(sorted(steps)), max(steps.values()))


def _scale(graph: Graph, op: Operator, way: Sequence[Operator]) -> tuple[float, int]:
    return SCALES[op.op, graph.tensors[way[0].inputs[0]].dtype]


def _way(graph: Graph, op: Operator) -> tuple[Operator, ...]:
    """Return the DEQUANTIZE and the moves that lead to a float operator, first ones first; nothing where others do."""
    way: list[Operator] = []
    at = op.inputs[0]
    while (maker := graph.producer.get(at)) is not None:
        way.append(maker)
        at = maker.inputs[0]
        if maker.op == "DEQUANTIZE":
            source = graph.tensors[at]
            q = source.quantization
            plain = (op.op, source.dtype) in SCALES and q is not None and not q.per_channel
            return tuple(reversed(way)) if plain else ()
        if maker.op not in _MOVES or len(maker.outputs) != 1:
            return ()
    return ()


def _write(editor: Editor, graph: Graph, op: Operator, way: Sequence[Operator]) -> None:
    codes, nodes = way[0].inputs[0], []
    dtype, quantization = graph.tensors[codes].dtype, editor.tensors[codes].quantization
    for move in way[1:]:
        moved = graph.tensors[move.outputs[0]]
        made = editor.tensor(f"{moved.name}/{dtype}", moved.shape, dtype, quantization=quantization)
        nodes.append(_with(editor.node(move.index), [codes, *move.inputs[1:]], made))
        codes = made
    result = graph.tensors[op.outputs[0]]
    scaled = affine(*_scale(graph, op, way))
    code = editor.tensor(f"{result.name}/{dtype}", result.shape, dtype, quantization=scaled)
    nodes.append(editor.operator(op.op, [codes], [code], dict(op.options), version=2))
    nodes.append(editor.operator("DEQUANTIZE", [code], [result.index], version=2))
    editor.replace([editor.node(op.index)], nodes)


def _with(node: Node, inputs: Sequence[int], output: int) -> Node:
    """Return a copy of an operator with other tensors."""
    made = copy(node)
    made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    return made


def _drop_unread(editor: Editor) -> None:
    """Remove the operators whose float results nothing reads any more."""
    while True:
        read = {int(t) for n in editor.operators for t in n.inputs} | set(editor.outputs)
        unread = [n for n in editor.operators if not read & {int(t) for t in n.outputs} and len(n.outputs)]
        if not unread:
            return
        editor.remove(unread[:1])
