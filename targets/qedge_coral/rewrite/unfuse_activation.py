"""Take a fused activation out of operators that may not have one: an operator of its own, the same values.

Pools and concatenations map only without one, and TRANSPOSE_CONV with one is of a version that compiler 16 does
not parse. The activation only clamps, on the scale that the output has already, so the split is exact.
"""

from __future__ import annotations

from typing import Any

from qedge.graph import Graph, schema
from qedge_coral.rewrite.edit import Editor

TITLE = "fused activations as operators of their own"
OPS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "TRANSPOSE_CONV")
VERSIONS = {"RELU": 2, "RELU6": 2, "RELU_N1_TO_1": 1}


def apply(tree: Any, graph: Graph) -> list[str]:
    """Split each operator of :data:`OPS` that has a fused activation."""
    editor = Editor(tree, graph)
    for op in graph:
        fused = op.options.get("fused_activation_function", "NONE")
        result = graph.output_tensors(op)[0]
        if op.op not in OPS or fused not in VERSIONS or result.dtype not in ("int8", "uint8"):
            continue
        node = editor.old(op)
        node.builtinOptions.fusedActivationFunction = schema.generated().ActivationFunctionType.NONE
        before = editor.tensor_like(result.index, f"{result.name}/before_{fused.lower()}")
        node.outputs = [before]
        version = VERSIONS[fused] if result.dtype == "int8" else 1
        after = editor.operator(fused, version, [before], [result.index])
        editor.replace([op], [node, after], f"{op.label}: {fused} as an operator of its own")
    return editor.finish()
