"""Parts of unlike size that a CONCATENATION would put on one scale, kept apart until the layer behind has weighed them.

``W @ concat(a, b)`` is ``Wa @ a + Wb @ b``: with a scale each, the small part keeps all of its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor, Node
from qedge.graph.outputs import with_outputs
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import weight_slots
from qedge.quantize.rewrites.trained_ranges import trained_in

UNLIKE = 8.0
"""The largest part may reach this many times as far as a small one, which then still has 32 of the 256 steps; and the
layer may weigh a small part so much that the largest part's step is this share of all that it makes."""
LOOKED_AT = 32  # samples
_NONE = {"fused_activation_function": "NONE"}


def keep_parts_apart(model: FloatModel, dataset: Dataset, indices: Sequence[int]) -> FloatModel:
    """Return the model whose layers read parts of unlike size one by one.

    Args:
        indices: samples, of which some are looked at.
    """
    found = [(op, reader) for op in model.graph.operators if (reader := _reader(model.graph, op)) is not None]
    if not found or trained_in(model.graph):
        return model
    editor, sizes, changed = model.editor(), _sizes(model, [op for op, _ in found], dataset, indices), False
    for op, reader in found:
        reach = [sizes[t] for t in op.inputs]
        groups = _groups(reach)
        if len(groups) > 1 and _coarse(reach, _weights_of(model.graph, op, reader)):
            _apart(model.graph, editor, op, reader, groups)
            changed = True
    if not changed:
        return model
    editor.sweep()
    return FloatModel.from_bytes(editor.pack())


def _reader(graph: Graph, op: Operator) -> Operator | None:
    """Return the layer that alone reads what an operator joins along the last axis, or None."""
    if op.op != "CONCATENATION" or op.options.get("fused_activation_function", "NONE") != "NONE":
        return None
    joined = op.outputs[0]
    rank = len(graph.tensors[joined].shape)
    parts = [graph.tensors[t] for t in op.inputs]
    if op.options["axis"] % rank != rank - 1 or any(p.is_constant or p.dtype != "float32" for p in parts):
        return None
    if joined in graph.outputs or len(graph.consumers[joined]) != 1 or len(set(op.inputs)) != len(op.inputs):
        return None
    (reader,) = graph.consumers[joined]
    if reader.op not in ("FULLY_CONNECTED", "CONV_2D") or reader.inputs[0] != joined:
        return None
    weight, bias = weight_slots(graph, reader)
    constant = all(graph.tensors[t].is_constant for t in (weight, bias) if t >= 0)
    return reader if constant and graph.tensors[weight].shape[-1] == graph.tensors[joined].shape[-1] else None


def _sizes(
    model: FloatModel, joins: Sequence[Operator], dataset: Dataset, indices: Sequence[int]
) -> dict[int, float]:
    """Return the largest magnitude of each part."""
    parts = list(dict.fromkeys(t for op in joins for t in op.inputs))
    runner = Runner(with_outputs(model.data, parts), threads=1)
    found = np.zeros(len(parts))
    step = max(1, len(indices) // LOOKED_AT)
    for i in list(indices)[::step][:LOOKED_AT]:
        runner.run(dataset[i])
        values = [runner.read(int(detail["index"])) for detail in runner.outputs]
        found = np.maximum(found, [np.abs(v).max(initial=0.0) for v in values])
    return dict(zip(parts, map(float, found)))


def _groups(sizes: Sequence[float]) -> list[list[int]]:
    """Return the positions of parts in groups of like size, each in order; parts that are always 0 go with the least.

    >>> _groups([900.0, 1.0, 400.0])
    [[0, 2], [1]]
    """
    groups: list[list[int]] = [[]]
    largest = 0.0
    for k in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
        if largest and 0 < sizes[k] < largest / UNLIKE:
            groups.append([])
            largest = 0.0
        groups[-1].append(k)
        largest = largest or sizes[k]
    return sorted(sorted(group) for group in groups)


def _weights_of(graph: Graph, join: Operator, reader: Operator) -> list[npt.NDArray[np.float32]]:
    """Return what the layer weighs each part with."""
    values = graph.tensors[weight_slots(graph, reader)[0]].data
    assert values is not None
    widths = [graph.tensors[t].shape[-1] for t in join.inputs]
    return np.split(values, np.cumsum(widths)[:-1], axis=-1)


def _coarse(sizes: Sequence[float], weights: Sequence[npt.NDArray[np.float32]]) -> bool:
    """Whether the scale of the largest part is coarse beside what all parts come to behind the layer."""
    norms = [float(np.linalg.norm(w)) for w in weights]
    made = max(size * norm for size, norm in zip(sizes, norms))
    return max(sizes) * max(norms) >= UNLIKE * made


def _apart(
    graph: Graph, editor: Editor, join: Operator, reader: Operator, groups: Sequence[Sequence[int]]
) -> None:
    """Put a layer for each group of parts, and the sum of them, in place of the join and its reader."""
    weights, name = _weights_of(graph, join, reader), graph.tensors[reader.outputs[0]].name
    bias = weight_slots(graph, reader)[1]
    options = dict(reader.options) | _NONE
    nodes, total = [], -1
    for number, group in enumerate(groups):
        source = join.inputs[group[0]]
        if len(group) > 1:
            width = sum(graph.tensors[join.inputs[k]].shape[-1] for k in group)
            shape = (*graph.tensors[join.outputs[0]].shape[:-1], width)
            source = editor.tensor(f"{name}/parts{number}", shape, "float32")
            nodes.append(
                editor.operator("CONCATENATION", [join.inputs[k] for k in group], [source], join.options)
            )
        own = np.concatenate([weights[k] for k in group], axis=-1)
        made = _layer(editor, reader, source, own, bias if number == 0 else -1, options, number)
        nodes.append(made)
        if number == 0:
            total = int(made.outputs[0])
            continue
        last = number == len(groups) - 1
        result = reader.outputs[0] if last else editor.tensor_like(total, f"{name}/sum{number}")
        fused = reader.options.get("fused_activation_function", "NONE") if last else "NONE"
        nodes.append(
            editor.operator(
                "ADD", [total, int(made.outputs[0])], [result], {"fused_activation_function": fused}
            )
        )
        total = result
    editor.replace([editor.node(join.index), editor.node(reader.index)], nodes)


def _layer(
    editor: Editor,
    reader: Operator,
    source: int,
    weights: npt.NDArray[np.float32],
    bias: int,
    options: dict[str, Any],
    number: int,
) -> Node:
    """Return a layer that weighs one group of parts."""
    result = editor.tensor_like(reader.outputs[0], f"{editor.name(reader.outputs[0])}/part{number}")
    if bias < 0:  # of zeros: rounding corrects the mean by it
        bias = editor.constant(np.zeros(weights.shape[0], np.float32))
    inputs = [source, editor.constant(np.ascontiguousarray(weights)), bias]
    return editor.operator(reader.op, inputs, [result], options)
