"""Write a dense layer on several rows as a 1x1 convolution, which has no such limit.

The weights of ``FULLY_CONNECTED``, [outputs, inputs], are those of ``CONV_2D``, [outputs, 1, 1, inputs], byte for
byte; the rows lie along the width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.graph import Graph, Operator, schema
from qedge_coral.rewrite.edit import Editor

TITLE = "dense layers on several rows as 1x1 convolutions"


def apply(tree: Any, graph: Graph) -> list[str]:
    """Replace each FULLY_CONNECTED on more than one row whose weights are constant."""
    editor = Editor(tree, graph)
    for op in graph:
        if op.op == "FULLY_CONNECTED" and _fits(graph, op):
            _replace(editor, graph, op)
    return editor.finish()


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


def _replace(editor: Editor, graph: Graph, op: Operator) -> None:
    source, weights, result = (
        graph.tensors[op.inputs[0]],
        graph.tensors[op.inputs[1]],
        graph.output_tensors(op)[0],
    )
    rows = result.elements // result.shape[-1]
    kernel = editor.tensor_like(
        weights.index, f"{weights.name}/1x1", (weights.shape[0], 1, 1, weights.shape[1])
    )
    old = editor.tree.subgraphs[0].tensors
    old[kernel].buffer = old[weights.index].buffer
    nodes: list[Any] = []

    def reshaped(index: int, name: str, shape: tuple[int, ...]) -> int:
        made = editor.tensor_like(index, name, shape)
        return made

    wide_in, wide_out = (1, 1, rows, weights.shape[1]), (1, 1, rows, weights.shape[0])
    first = source.index
    if source.shape != wide_in:
        first = reshaped(source.index, f"{source.name}/rows", wide_in)
        nodes.append(_reshape(editor, source.index, first, wide_in))
    last = (
        result.index if result.shape == wide_out else reshaped(result.index, f"{result.name}/rows", wide_out)
    )
    fb = schema.generated()
    options = {
        "padding": fb.Padding.VALID,
        "strideW": 1,
        "strideH": 1,
        "dilationWFactor": 1,
        "dilationHFactor": 1,
        "fusedActivationFunction": editor.old(op).builtinOptions.fusedActivationFunction,
    }
    inputs = [
        first,
        kernel,
        op.inputs[2] if len(op.inputs) > 2 and op.inputs[2] >= 0 else _bias(editor, op, graph),
    ]
    nodes.append(editor.operator("CONV_2D", 3 if source.dtype == "int8" else 1, inputs, [last], options))
    if last != result.index:
        nodes.append(_reshape(editor, last, result.index, result.shape))
    editor.replace([op], nodes, f"{op.label} on {rows} rows as CONV_2D 1x1")


def _bias(editor: Editor, op: Operator, graph: Graph) -> int:
    """Add zeros for a layer without bias."""
    weights, source = graph.tensors[op.inputs[1]], graph.tensors[op.inputs[0]]
    assert source.quantization is not None
    assert weights.quantization is not None
    scale = float(source.quantization.scale[0] * weights.quantization.scale[0])
    return editor.constant(f"{weights.name}/bias", np.zeros(weights.shape[0], np.int32), scale)


def _reshape(editor: Editor, source: int, result: int, shape: tuple[int, ...]) -> Any:
    size = editor.constant(f"reshape_{result}", np.asarray(shape, np.int32))
    options = {"newShape": np.asarray(shape, np.int32)}
    return editor.operator("RESHAPE", 1, [source, size], [result], options)
