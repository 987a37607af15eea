"""Dense layers whose weights are computed while the model runs, put as matrix products.

TFLiteConverter writes the product of two activations (the scores of an attention, a dot product) as FULLY_CONNECTED
where the first has one row set alone. No runtime quantises such weights; BATCH_MATMUL takes two activations.
"""

from __future__ import annotations

import numpy as np

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor, Node
from qedge.quantize.model import FloatModel

_ALONE = frozenset({"RELU", "RELU6", "RELU_N1_TO_1"})
"""Fused activations that are operators of their own."""


def multiply_activations(model: FloatModel) -> FloatModel:
    """Return the model with each float FULLY_CONNECTED of two activations as BATCH_MATMUL, bias and function behind."""
    found = [op for op in model.graph if _of_two_activations(model.graph, op)]
    if not found:
        return model
    editor = model.editor()
    for op in found:
        editor.replace([editor.node(op.index)], _product(editor, model.graph, op))
    return FloatModel.from_bytes(editor.pack())


def _of_two_activations(graph: Graph, op: Operator) -> bool:
    if op.op != "FULLY_CONNECTED":
        return False
    x, weights, made = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    plain = op.options.get("weights_format", "DEFAULT") == "DEFAULT"
    known = op.options["fused_activation_function"] in {"NONE", *_ALONE}
    floats = {x.dtype, weights.dtype, made.dtype} == {"float32"}
    return floats and plain and known and weights.data is None and len(weights.shape) == 2 and x.is_static


def _product(editor: Editor, graph: Graph, op: Operator) -> list[Node]:
    units, depth = graph.tensors[op.inputs[1]].shape
    rows, result = graph.tensors[op.inputs[0]].elements // depth, op.outputs[0]
    name, nodes = graph.tensors[result].name, []

    def add(
        kind: str, inputs: list[int], part: str, shape: tuple[int, ...], options: dict[str, object]
    ) -> int:
        made = editor.tensor(f"{name}/{part}", shape, "float32")
        nodes.append(editor.operator(kind, inputs, [made], options))
        return made

    at = op.inputs[0]
    if graph.tensors[at].shape != (rows, depth):
        at = add(
            "RESHAPE", [at, editor.constant(np.array([rows, depth], np.int32))], "rows", (rows, depth), {}
        )
    at = add("BATCH_MATMUL", [at, op.inputs[1]], "product", (rows, units), {"adj_y": True})
    bias = op.inputs[2] if len(op.inputs) > 2 else -1
    activation = str(op.options["fused_activation_function"])
    fixed = None if bias < 0 else graph.tensors[bias].data
    if bias >= 0 and (fixed is None or fixed.any()):
        at = add("ADD", [at, bias], "sum", (rows, units), {"fused_activation_function": activation})
        activation = "NONE"
    if activation != "NONE":
        at = add(activation, [at], "activated", (rows, units), {})
    shape = graph.tensors[result].shape
    if shape == (rows, units):
        nodes[-1].outputs = np.array([result], np.int32)
    else:
        size = editor.constant(np.array(shape, np.int32))
        nodes.append(editor.operator("RESHAPE", [at, size], [result]))
    return nodes
