"""Drop QUANTIZE operators that change nothing, and join two that follow each other."""

from __future__ import annotations

from qedge.graph import Graph, Operator
from qedge_coral.rewrite.draft import Draft
from qedge_coral.rewrite.nearest_upsampling import same_quantization

TITLE = "QUANTIZE that changes nothing"


def apply(graph: Graph) -> Draft:
    """Drop each QUANTIZE from a type and scale to the same; readers take its input."""
    draft = Draft(graph)
    instead: dict[int, int] = {}
    for op in graph:
        if op.op == "QUANTIZE" and _changes_nothing(graph, op):
            instead[op.outputs[0]] = instead.get(op.inputs[0], op.inputs[0])
            draft.replace([op], [], f"{op.label} changes nothing")
    draft.redirect(instead)
    return draft


def _changes_nothing(graph: Graph, op: Operator) -> bool:
    if op.outputs[0] in graph.outputs:
        return False
    return same_quantization(graph, op.inputs[0], op.outputs[0])
