"""Write a dense layer on several rows as a 1x1 convolution, which has no such limit.

The weights of ``FULLY_CONNECTED``, [outputs, inputs], are those of ``CONV_2D``, [outputs, 1, 1, inputs], byte for
byte; the rows lie along the width.
"""

from __future__ import annotations

import numpy as np

from qedge.graph import Graph, Operator
from qedge_coral.rewrite.draft import Draft

TITLE = "dense layers on several rows as 1x1 convolutions"
PLAIN = {
    "padding": "VALID",
    "stride_w": 1,
    "stride_h": 1,
    "dilation_w_factor": 1,
    "dilation_h_factor": 1,
}


def apply(graph: Graph) -> Draft:
    """Replace each FULLY_CONNECTED on more than one row whose weights are constant."""
    draft = Draft(graph)
    for op in graph:
        if op.op == "FULLY_CONNECTED" and _fits(graph, op):
            _replace(draft, graph, op)
    return draft


def _fits(graph: Graph, op: Operator) -> bool:
    source, weights, result = (
        graph.tensors[op.inputs[0]],
        graph.tensors[op.inputs[1]],
        graph.output_tensors(op)[0],
    )
    if {source.dtype, weights.dtype, result.dtype} not in ({"int8"}, {"uint8"}):
        return False
    if not weights.is_constant or op.options.get("weights_format", "DEFAULT") != "DEFAULT":
        return False
    if op.options.get("fused_activation_function", "NONE") not in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1"):
        return False
    return result.elements // result.shape[-1] > 1 and source.elements % weights.shape[1] == 0


def _replace(draft: Draft, graph: Graph, op: Operator) -> None:
    source, weights, result = (
        graph.tensors[op.inputs[0]],
        graph.tensors[op.inputs[1]],
        graph.output_tensors(op)[0],
    )
    rows = result.elements // result.shape[-1]
    outputs, inputs = weights.shape
    kernel = draft.constant_like(weights.index, f"{weights.name}/1x1", (outputs, 1, 1, inputs))
    nodes: list[Operator] = []
    wide_in, wide_out = (1, 1, rows, inputs), (1, 1, rows, outputs)
    first, last = source.index, result.index
    if source.shape != wide_in:
        first = draft.tensor_like(source.index, f"{source.name}/rows", wide_in)
        nodes.append(draft.reshape(source.index, first))
    if result.shape != wide_out:
        last = draft.tensor_like(result.index, f"{result.name}/rows", wide_out)
    options = {**PLAIN, "fused_activation_function": op.options.get("fused_activation_function", "NONE")}
    bias = op.inputs[2] if len(op.inputs) > 2 and op.inputs[2] >= 0 else _bias(draft, op, graph)
    version = 3 if source.dtype == "int8" else 1
    nodes.append(draft.operator("CONV_2D", version, [first, kernel, bias], [last], options))
    if last != result.index:
        nodes.append(draft.reshape(last, result.index))
    draft.replace([op], nodes, f"{op.label} on {rows} rows as CONV_2D 1x1")


def _bias(draft: Draft, op: Operator, graph: Graph) -> int:
    """Add zeros for a layer without bias."""
    weights, source = graph.tensors[op.inputs[1]], graph.tensors[op.inputs[0]]
    assert source.quantization is not None
    assert weights.quantization is not None
    scale = source.quantization.scale[0] * weights.quantization.scale
    return draft.constant(f"{weights.name}/bias", np.zeros(weights.shape[0], np.int32), scale)
