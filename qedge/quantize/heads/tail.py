"""Where a model's layers end and its decoding begins: what follows the last weights on every way to the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qedge.graph import Graph, Operator

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "CONV_3D")
LEAST_OPERATORS = 2


@dataclass(frozen=True)
class Tail:
    """The operators after the last layer.

    Args:
        tensors: what they read of the layers' results, in the order in which those are made.
        operators: their indices.
    """

    tensors: tuple[int, ...]
    operators: tuple[int, ...]


def find_tail(graph: Graph) -> Tail | None:
    """Return the decoding at the end of a model, or None where it ends with its layers.

    Maps that masks are made of, a second output, are no part of it.
    """
    maps = prototypes(graph)
    leads: set[int] = set() if maps is None else {maps}  # tensors from which a layer is reached, or the maps
    tail = []
    for op in reversed(graph.operators):
        if is_layer(graph, op) or any(t in leads for t in op.outputs):
            leads.update(t for t in op.inputs if t >= 0)
        else:
            tail.append(op)
    after = {op.index for op in tail}
    read = ({t for op in tail for t in op.inputs} | set(graph.outputs)) - {maps}
    made = [t for op in graph if op.index not in after for t in op.outputs if t in read]
    if len(tail) < LEAST_OPERATORS or not made:
        return None
    return Tail(tuple(made), tuple(sorted(after)))


def prototypes(graph: Graph) -> int | None:
    """Return the output with the maps of a segmenting detector, (1, h, w, masks) beside rows of objects, or None."""
    shapes = {t: graph.tensors[t].shape for t in graph.outputs}
    maps = [t for t, shape in shapes.items() if len(shape) == 4 and 1 not in shape[1:3]]
    rows = [t for t, shape in shapes.items() if len(shape) == 3]
    return maps[0] if len(maps) == len(rows) == 1 and len(shapes) == 2 else None


def is_layer(graph: Graph, op: Operator) -> bool:
    """Return whether an operator has trained weights.

    Those of a mean over equal steps (0, 1, 2 ...) are none, nor is a matrix of 4 by 4, which turns centres and sizes
    into corners (YOLOv7).
    """
    if op.op not in LAYERS or len(op.inputs) < 2:
        return False
    weights = graph.tensors[op.inputs[1]].data
    if weights is None or (weights.shape[0] == weights.shape[-1] == 4 and weights.size == 16):
        return False
    flat = np.asarray(weights, np.float32).reshape(-1)
    return not np.array_equal(flat, np.arange(flat.size, dtype=np.float32))
