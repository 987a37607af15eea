"""Operators without an int8 kernel, or with a poor one, put as others."""

from __future__ import annotations

import numpy as np

from qedge.graph import Graph, Operator
from qedge.quantize.model import FloatModel


def use_kernels(model: FloatModel) -> FloatModel:
    """Return the model with those operators replaced that have no int8 kernel or a poor one.

    * NEG has none: multiply by -1.
    * AVERAGE_POOL_2D must keep its input's scale, so that the mean of a whole map, which varies far less than
      the map, keeps few of the 256 steps: MEAN has a scale of its own.
    """
    editor, changed = model.editor(), False
    for op in model.graph.operators:
        if op.op == "NEG":
            made = editor.constant(np.float32(-1.0))
            node = editor.operator("MUL", [op.inputs[0], made], op.outputs)
        elif op.op == "AVERAGE_POOL_2D" and _covers_map(model.graph, op):
            made = editor.constant(np.array([1, 2], np.int32))
            node = editor.operator("MEAN", [op.inputs[0], made], op.outputs, {"keep_dims": True})
        else:
            continue
        editor.replace([editor.node(op.index)], [node])
        changed = True
    return FloatModel.from_bytes(editor.pack()) if changed else model


def _covers_map(graph: Graph, op: Operator) -> bool:
    """Whether a pool averages a whole map into one value a channel."""
    shape, options = graph.tensors[op.inputs[0]].shape, op.options
    return (
        graph.tensors[op.outputs[0]].shape[1:3] == (1, 1)
        and (options["filter_height"], options["filter_width"]) == shape[1:3]
        and options["fused_activation_function"] == "NONE"
    )
