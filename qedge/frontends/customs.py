"""Custom operators of other toolkits that are operators of TFLite under another name."""

from __future__ import annotations

import struct

import numpy as np

from qedge.frontends.tree import Tree
from qedge.graph.edit import text

_PADDING = {1: "SAME", 2: "VALID"}


def known_customs(tree: Tree) -> list[str]:
    """Put TFLite's own operator in place of each custom one that is the same; return the names of those replaced.

    ``Convolution2DTransposeBias`` (MediaPipe) is TRANSPOSE_CONV with a bias: input, weights and bias, and as options
    three 32-bit integers, the padding (1 same, 2 valid) and the strides down and across.
    """
    found = []
    for node in list(tree.operators):
        name = text(tree.model.operatorCodes[node.opcodeIndex].customCode or b"")
        if tree.op(node) != "CUSTOM" or name != "Convolution2DTransposeBias" or len(node.inputs) != 3:
            continue
        padding, down, across = struct.unpack("<3i", bytes(np.asarray(node.customOptions, np.uint8))[:12])
        x, weights, bias = (int(t) for t in node.inputs)
        result = int(node.outputs[0])
        shape = tree.constant(np.asarray(tree.shape(result), np.int32), f"{tree.name(result)}/shape")
        made = tree.operator(
            "TRANSPOSE_CONV",
            [shape, weights, x, bias],
            [result],
            {"padding": _PADDING[padding], "stride_w": across, "stride_h": down},
            version=3,
        )
        tree.replace([node], [made])
        found.append(name)
    return found
