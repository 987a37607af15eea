"""Take a fused activation out of operators that may not have one: an operator of its own, the same values.

Pools and concatenations map only without one, and TRANSPOSE_CONV with one is of a version that compiler 16 does
not parse. The activation only clamps, on the scale that the output has already, so the split is exact.
"""

from __future__ import annotations

from dataclasses import replace

from qedge.graph import Graph
from qedge_coral.rewrite.draft import Draft

TITLE = "fused activations as operators of their own"
OPS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "TRANSPOSE_CONV")
VERSIONS = {"RELU": 2, "RELU6": 2, "RELU_N1_TO_1": 1}


def apply(graph: Graph) -> Draft:
    """Split each operator of :data:`OPS` that has a fused activation."""
    draft = Draft(graph)
    for op in graph:
        fused = op.options.get("fused_activation_function", "NONE")
        if op.op not in OPS or fused not in VERSIONS:
            continue
        result = graph.output_tensors(op)[0]
        if result.dtype not in ("int8", "uint8"):
            continue
        before = draft.tensor_like(result.index, f"{result.name}/before_{fused.lower()}")
        options = {**op.options, "fused_activation_function": "NONE"}
        node = replace(op, outputs=(before,), options=options)
        version = VERSIONS[fused] if result.dtype == "int8" else 1
        after = draft.operator(fused, version, [before], [result.index])
        draft.replace([op], [node, after], f"{op.label}: {fused} as an operator of its own")
    return draft
