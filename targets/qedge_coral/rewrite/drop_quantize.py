"""Drop QUANTIZE operators that change nothing, and join two that follow each other."""

from __future__ import annotations

from typing import Any

from qedge.graph import Graph, Operator
from qedge_coral.rewrite.edit import Editor
from qedge_coral.rewrite.nearest_upsampling import same_quantization

TITLE = "QUANTIZE that changes nothing"


def apply(tree: Any, graph: Graph) -> list[str]:
    """Drop each QUANTIZE from a type and scale to the same; readers take its input."""
    editor = Editor(tree, graph)
    instead: dict[int, int] = {}
    for op in graph:
        if op.op == "QUANTIZE" and _changes_nothing(graph, op):
            instead[op.outputs[0]] = instead.get(op.inputs[0], op.inputs[0])
            editor.replace([op], [], f"{op.label} changes nothing")
    for op in graph:
        if instead and editor.is_free([op]) and any(t in instead for t in op.inputs):
            node = editor.old(op)
            node.inputs = [instead.get(int(t), int(t)) for t in node.inputs]
            lines = list(editor.lines)
            editor.replace([op], [node], "")
            editor.lines = lines
    return editor.finish()


def _changes_nothing(graph: Graph, op: Operator) -> bool:
    if op.outputs[0] in graph.outputs:
        return False
    return same_quantization(graph, op.inputs[0], op.outputs[0])
