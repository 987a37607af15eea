"""Write LEAKY_RELU as PRELU with one constant slope, which the Edge TPU has."""

from __future__ import annotations

import numpy as np

from qedge.graph import Graph
from qedge_coral.rewrite.draft import Draft

TITLE = "LEAKY_RELU as PRELU"


def apply(graph: Graph) -> Draft:
    """Replace each LEAKY_RELU on int8; the slope is 127 steps of ``alpha / 127``."""
    draft = Draft(graph)
    for op in graph:
        if op.op != "LEAKY_RELU":
            continue
        source, alpha = graph.tensors[op.inputs[0]], float(op.options.get("alpha", 0.0))
        if source.dtype != "int8" or alpha <= 0:
            continue
        slopes = np.full((1,) * (len(source.shape) - 2) + (source.shape[-1],), 127, np.int8)
        index = draft.constant(f"{source.name}/slope", slopes, scale=alpha / 127)
        node = draft.operator("PRELU", 1, [source.index, index], list(op.outputs))
        draft.replace([op], [node], f"{op.label} as PRELU")
    return draft
