"""Indices of 64 bits in 32: what a microcontroller's kernels count with.

``tf.argmax`` gives int64 unless it is told otherwise, and PyTorch's indices are int64 throughout. No index of a model
that fits a device needs more than 32 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qedge.graph import Graph, Operator
from qedge.graph import options as option_tables
from qedge.graph.edit import Editor

_INDEX = np.iinfo(np.int32)


@dataclass(frozen=True)
class Narrowed:
    """A model whose indices have 32 bits.

    Args:
        data: the ``.tflite``.
        ends: inputs and outputs that had 64.
    """

    data: bytes
    ends: tuple[str, ...]


def in_int32(data: bytes) -> Narrowed | None:
    """Return a model with int32 for every int64 that is no bias; None where there is none, or a constant needs 64."""
    graph = Graph.from_bytes(data)
    wide = [t for t in graph.tensors if t.dtype == "int64" and t.quantization is None]
    values = [t.data for t in wide if t.data is not None and t.data.size]
    if not wide or any(v.min() < _INDEX.min or v.max() > _INDEX.max for v in values):
        return None
    editor = Editor.from_bytes(data)
    for tensor in wide:
        if tensor.data is not None:
            editor.set_constant(tensor.index, tensor.data.astype(np.int32))
        editor.set_dtype(tensor.index, "int32")
    changed = {t.index for t in wide}
    for op in graph:
        if changed & {*op.inputs, *op.outputs}:
            _narrow(editor, op)
    names = (*zip(graph.inputs, graph.input_names), *zip(graph.outputs, graph.output_names))
    return Narrowed(editor.pack(), tuple(name for t, name in names if t in changed))


def _narrow(editor: Editor, op: Operator) -> None:
    """State the type again where an operator's options name it."""
    options = {key: "INT32" if value == "INT64" else value for key, value in op.options.items()}
    if options == dict(op.options):
        return
    editor.node(op.index).builtinOptions = option_tables.make(op.op, options)[1]
