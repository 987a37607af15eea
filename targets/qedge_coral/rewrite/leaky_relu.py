"""Write LEAKY_RELU as PRELU with one constant slope, which the Edge TPU has."""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.graph import Graph
from qedge_coral.rewrite.edit import Editor

TITLE = "LEAKY_RELU as PRELU"


def apply(tree: Any, graph: Graph) -> list[str]:
    """Replace each LEAKY_RELU on int8; the slope is 127 steps of ``alpha / 127``."""
    editor = Editor(tree, graph)
    for op in graph:
        source = graph.tensors[op.inputs[0]]
        alpha = float(op.options.get("alpha", 0.0))
        if op.op != "LEAKY_RELU" or source.dtype != "int8" or alpha <= 0:
            continue
        slopes = np.full((1,) * (len(source.shape) - 2) + (source.shape[-1],), 127, np.int8)
        index = editor.constant(f"{source.name}/slope", slopes, scale=alpha / 127)
        node = editor.operator("PRELU", 1, [source.index, index], list(op.outputs))
        editor.replace([op], [node], f"{op.label} as PRELU")
    return editor.finish()
