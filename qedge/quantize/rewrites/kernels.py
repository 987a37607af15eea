"""Operators without an int8 kernel, or with a poor one, put as others."""

from __future__ import annotations

import numpy as np

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.quantize.model import FloatModel

LONGEST_SUM = (
    256  # values that a running sum has at most to become a layer, whose weights are that many squared
)


def use_kernels(model: FloatModel) -> FloatModel:
    """Return the model with those operators replaced that have no int8 kernel or a poor one.

    * NEG has none: multiply by -1. SQUARE has none: multiply by itself. DIV has none: multiply by the reciprocal
      of a constant. SELECT of equal shapes is SELECT_V2, which every target has. CUMSUM has none: a layer of ones
      along the last axis.
    * A choice between an index and one further on, which an Embedding has, is arithmetic: not every runtime chooses
      between integers.
    * A MAXIMUM or MINIMUM whose bound no number passes (JAX' softmax has one of -inf) does nothing: RESHAPE keeps scale
      and values.
    * AVERAGE_POOL_2D must keep its input's scale, so that the mean of a whole map, which varies far less than
      the map, keeps few of the 256 steps: MEAN has a scale of its own. Where dense layers alone read it, it is flat:
      other tools take a layer's bias for granted with two dimensions only.
    """
    editor, changed = model.editor(), False
    for op in model.graph.operators:
        if op.op == "NEG":
            made = editor.constant(np.float32(-1.0))
            node = editor.operator("MUL", [op.inputs[0], made], op.outputs)
        elif op.op == "SQUARE":
            node = editor.operator("MUL", [op.inputs[0], op.inputs[0]], op.outputs)
        elif op.op == "DIV" and _divides_by_constant(model.graph, op):
            divisor = model.graph.tensors[op.inputs[1]].data
            assert divisor is not None
            made = editor.constant(np.asarray(1 / divisor, np.float32))
            activation = {"fused_activation_function": op.options["fused_activation_function"]}
            node = editor.operator("MUL", [op.inputs[0], made], op.outputs, activation)
        elif op.op in ("SELECT", "SELECT_V2") and (step := _added(model.graph, op)) is not None:
            _add_where(editor, model.graph, op, step)
            changed = True
            continue
        elif op.op == "SELECT" and len({model.graph.tensors[t].shape for t in op.inputs}) == 1:
            node = editor.operator("SELECT_V2", op.inputs, op.outputs)
        elif op.op == "CUMSUM" and _along_last(model.graph, op):
            size = model.graph.tensors[op.inputs[0]].shape[-1]
            ones = np.tri(size, k=-1 if op.options["exclusive"] else 0, dtype=np.float32)
            made = editor.constant(ones.T.copy() if op.options["reverse"] else ones)
            flat = {"keep_num_dims": True}
            node = editor.operator("FULLY_CONNECTED", [op.inputs[0], made, -1], op.outputs, flat)
        elif op.op in ("MAXIMUM", "MINIMUM") and (kept := _unbounded(model.graph, op)) is not None:
            size = editor.constant(np.array(model.graph.tensors[op.outputs[0]].shape, np.int32))
            node = editor.operator("RESHAPE", [kept, size], op.outputs)
        elif op.op == "AVERAGE_POOL_2D" and _covers_map(model.graph, op):
            made = editor.constant(np.array([1, 2], np.int32))
            as_rows = _read_flat(model.graph, op.outputs[0])
            if as_rows:
                shape = model.graph.tensors[op.outputs[0]].shape
                editor.tensors[op.outputs[0]].shape = np.array([shape[0], shape[-1]], np.int32)
            node = editor.operator("MEAN", [op.inputs[0], made], op.outputs, {"keep_dims": not as_rows})
        else:
            continue
        editor.replace([editor.node(op.index)], [node])
        changed = True
    return FloatModel.from_bytes(editor.pack()) if changed else model


def _unbounded(graph: Graph, op: Operator) -> int | None:
    """Return what a MAXIMUM or MINIMUM gives unchanged, since its constant bound is beyond all numbers; else None."""
    passes = np.less_equal if op.op == "MAXIMUM" else np.greater_equal
    limit = np.finfo(np.float32).min if op.op == "MAXIMUM" else np.finfo(np.float32).max
    for kept, bound in (op.inputs, op.inputs[::-1]):
        data = graph.tensors[bound].data
        same = graph.tensors[kept].shape == graph.tensors[op.outputs[0]].shape
        if data is not None and data.dtype == np.float32 and same and passes(data, limit).all():
            return kept
    return None


def _added(graph: Graph, op: Operator) -> int | None:
    """Return the constant that an index gets added where a condition holds, ``SELECT(c, x + constant, x)``, or None.

    Keras writes this for an Embedding: a negative index counts from the end.
    """
    condition, other, index = op.inputs
    maker = graph.producer.get(other)
    if (
        graph.tensors[index].dtype != "int32"
        or maker is None
        or maker.op != "ADD"
        or maker.inputs[0] != index
    ):
        return None
    alike = graph.tensors[condition].shape == graph.tensors[index].shape
    data = graph.tensors[maker.inputs[1]].data
    return int(data.reshape(-1)[0]) if alike and data is not None and data.size == 1 else None


def _add_where(editor: Editor, graph: Graph, op: Operator, step: int) -> None:
    """Write a choice between an index and an index further on as arithmetic, which every runtime has."""
    condition, _, index = op.inputs
    shape, none = graph.tensors[index].shape, {"fused_activation_function": "NONE"}
    name = graph.tensors[op.outputs[0]].name
    yes, more = (editor.tensor(f"{name}/{part}", shape, "int32") for part in ("where", "further"))
    made = editor.constant(np.array(step, np.int32))
    nodes = [
        editor.operator("CAST", [condition], [yes], {"in_data_type": "BOOL", "out_data_type": "INT32"}),
        editor.operator("MUL", [yes, made], [more], none),
        editor.operator("ADD", [index, more], op.outputs, none),
    ]
    editor.replace([editor.node(op.index)], nodes)
    maker = graph.producer[op.inputs[1]]
    if len(graph.consumers[maker.outputs[0]]) == 1:
        editor.remove([editor.node(maker.index)])


def _covers_map(graph: Graph, op: Operator) -> bool:
    """Whether a pool averages a whole map into one value a channel."""
    shape, options = graph.tensors[op.inputs[0]].shape, op.options
    return (
        graph.tensors[op.outputs[0]].shape[1:3] == (1, 1)
        and (options["filter_height"], options["filter_width"]) == shape[1:3]
        and options["fused_activation_function"] == "NONE"
    )


def _read_flat(graph: Graph, tensor: int) -> bool:
    """Whether dense layers alone read a tensor, as rows whatever its shape."""
    readers = graph.consumers[tensor]
    flat = all(
        r.op == "FULLY_CONNECTED" and r.inputs[0] == tensor and not r.options.get("keep_num_dims")
        for r in readers
    )
    return bool(readers) and flat and tensor not in graph.outputs


def _divides_by_constant(graph: Graph, op: Operator) -> bool:
    values = graph.tensors[op.inputs[1]].data
    return values is not None and values.dtype == np.float32 and bool((values != 0).all())


def _along_last(graph: Graph, op: Operator) -> bool:
    """Whether a running sum goes along an axis that a layer can sum over, short enough for its weights."""
    shape, axis = graph.tensors[op.inputs[0]].shape, graph.tensors[op.inputs[1]].data
    if axis is None or graph.tensors[op.inputs[0]].dtype != "float32" or not shape or shape[-1] > LONGEST_SUM:
        return False
    return int(axis.reshape(-1)[0]) % len(shape) == len(shape) - 1
