"""A rewritten graph as a file: what the rewrites left alone is taken over, what they made is added."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from qedge.graph import Graph, Operator, Quantization, Tensor
from qedge.graph.edit import Editor, affine
from qedge_coral.rewrite.draft import Array


def write(given: Graph, drafted: Graph) -> bytes:
    """Return the bytes of ``drafted``, which drafts made of ``given`` step by step."""
    editor = Editor.from_bytes(given.data)
    buffers = {
        _place(t.data): int(held.buffer)
        for t, held in zip(given.tensors, editor.tensors)
        if t.data is not None and t.data.size
    }
    for t in drafted.tensors:
        if t.index >= len(given.tensors):
            _add(editor, t, buffers)
        elif t is not given.tensors[t.index]:
            _change(editor, given.tensors[t.index], t)
    # A changed operator keeps the options object of the one it comes from; a new one has its own.
    origin = {id(op.options): op.index for op in given}
    editor.graph.operators = [_node(editor, op, origin.get(id(op.options))) for op in drafted]
    editor.sweep()
    return editor.pack()


def _place(data: Array) -> tuple[int, int]:
    return int(data.__array_interface__["data"][0]), data.nbytes


def _add(editor: Editor, t: Tensor, buffers: dict[tuple[int, int], int]) -> None:
    known = None if t.data is None else buffers.get(_place(t.data))
    data = t.data.tobytes() if t.data is not None and known is None else None
    index = editor.tensor(t.name, t.shape, t.dtype, data=data, quantization=_affine(t.quantization))
    assert index == t.index
    if known is not None:
        editor.graph.tensors[index].buffer = known


def _affine(quantization: Quantization | None) -> Any:
    if quantization is None:
        return None
    return affine(quantization.scale, quantization.zero_point, quantization.axis)


def _change(editor: Editor, before: Tensor, t: Tensor) -> None:
    if t.data is not before.data and t.data is not None:
        editor.set_constant(t.index, t.data)
        return
    held = editor.graph.tensors[t.index]
    held.shape, held.shapeSignature = np.asarray(t.shape, np.int32), None


def _node(editor: Editor, op: Operator, origin: int | None) -> Any:
    if origin is None:
        return editor.operator(op.op, op.inputs, op.outputs, op.options, version=op.version)
    node = copy.copy(editor.node(origin))
    node.opcodeIndex = editor.opcode(op.op, op.version, op.custom_name)
    node.inputs, node.outputs = np.asarray(op.inputs, np.int32), np.asarray(op.outputs, np.int32)
    return node
