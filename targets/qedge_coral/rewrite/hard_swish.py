"""Write HARD_SWISH, which the Edge TPU has not, as a gate of operators that it has: MUL, ADD, MUL.

The gate ``x / 6 + 1/2`` lies between 0 and 1 because that is all that its 8 bits can say: no RELU6 is needed.
"""

from __future__ import annotations

from qedge.graph import Graph, Operator
from qedge_coral.rewrite.draft import Draft
from qedge_coral.rewrite.steps import Steps, holds

TITLE = "HARD_SWISH as a gate"


def apply(graph: Graph) -> Draft:
    """Replace each HARD_SWISH on 8 bits where the gate gives every one of the 256 values within 1 step."""
    draft = Draft(graph)
    for op in graph:
        if op.op != "HARD_SWISH":
            continue
        source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
        if source.dtype not in ("int8", "uint8") or not source.quantization or not result.quantization:
            continue
        if holds(gate, graph, op):
            draft.replace([op], gate(draft, graph, op), f"{op.label} as a gate")
    return draft


def gate(draft: Draft, graph: Graph, op: Operator) -> list[Operator]:
    """x * (x / 6 + 1/2), the second factor cut to 0 and 1"""
    steps = Steps(draft, graph, op)
    top = min(1.0, max((steps.high - steps.zero) * steps.scale / 6 + 0.5, 1 / 255))
    sixth = steps.made("MUL", "sixth", [steps.x, steps.fixed("sixth", 1 / 6)], steps.scale / 6, steps.zero)
    factor = steps.made("ADD", "gate", [sixth, steps.fixed("half", 0.5)], top / 255, steps.low)
    steps.add("MUL", [steps.x, factor], steps.y)
    return steps.nodes
