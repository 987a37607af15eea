"""A normalisation between an activation and a layer: its factor, and where nothing is padded its offset, move into
the layer's weights and bias.

A convolution, a ReLU and then BatchNormalization leave a MUL and an ADD that no layer before them can take up, each
of which would round every value once more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.quantize.model import FloatModel
from qedge.quantize.rewrites.readers import readers_of, step_of, take_up

Float = npt.NDArray[np.float64]


def fold_normalisation(model: FloatModel) -> FloatModel:
    """Return the model with every such step moved that can be; the last one first, so that chains follow."""
    while True:
        changed = _fold_one(model)
        if changed is None:
            return model
        model = changed


def _fold_one(model: FloatModel) -> FloatModel | None:
    for op in reversed(model.graph.operators):
        changed = _fold(model, op)
        if changed is not None:
            return changed
    return None


def _fold(model: FloatModel, op: Operator) -> FloatModel | None:
    graph = model.graph
    last = step_of(graph, op)
    if last is None:
        return None
    readers = readers_of(graph, last.result)
    if readers is None:
        return None
    chain, source, factor, offset = _chain(graph, op)
    if not (factor != 0).all() or (readers.largest and (factor < 0).any()) or source in graph.inputs:
        return None
    editor = model.editor()
    nodes = [editor.node(o.index) for o in chain]
    kept = readers.padded and bool(offset.any())
    if kept and (factor == 1).all():
        return None
    if kept:
        # Zeros are padded, so only the factor can go on: x * f + o is (x + o / f) * f.
        moved = editor.constant((offset / factor).astype(np.float32))
        none = {"fused_activation_function": "NONE"}
        editor.replace(nodes, [editor.operator("ADD", [source, moved], [last.result], none)])
    else:
        editor.redirect({last.result: source})
        editor.remove(nodes)
    for layer in readers.layers:
        take_up(graph, editor, layer, factor, np.zeros_like(offset) if kept else offset)
    editor.sweep()
    return FloatModel.from_bytes(editor.pack())


def _chain(graph: Graph, op: Operator) -> tuple[list[Operator], int, Float, Float]:
    """Return the steps that end in ``op``, the tensor that the first one reads, and what they do together."""
    step = step_of(graph, op)
    assert step is not None
    chain, source, factor, offset = [op], step.source, step.factor, step.offset
    while source in graph.producer and len(graph.consumers[source]) == 1 and source not in graph.outputs:
        before = step_of(graph, graph.producer[source])
        if before is None:
            break
        chain.insert(0, graph.producer[source])
        source, offset, factor = before.source, before.offset * factor + offset, before.factor * factor
    return chain, source, factor, offset
