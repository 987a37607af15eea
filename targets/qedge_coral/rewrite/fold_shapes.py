"""Compute shapes now: a batch of unknown size becomes 1, and what is made of shapes becomes a constant.

Converters leave ``SHAPE``, ``STRIDED_SLICE`` and ``PACK`` before a ``RESHAPE`` when the batch is unknown; the
compiler refuses a graph whose shapes are computed at run time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.graph import Graph, Operator, Tensor
from qedge_coral.rewrite.draft import Array, Draft, used

TITLE = "shapes that are known become constants"
FOLDED = (
    "SHAPE",
    "STRIDED_SLICE",
    "SLICE",
    "PACK",
    "CONCATENATION",
    "MUL",
    "ADD",
    "SUB",
    "GATHER",
    "RESHAPE",
)


def apply(graph: Graph) -> Draft:
    """Replace integer operators on known shapes by constants, and fix the batch."""
    known = _Known(graph)
    folded = [op for op in graph if known.learn(op)]
    draft = Draft(graph)
    if folded:
        names = ", ".join(dict.fromkeys(op.op for op in folded))
        for op in folded:
            draft.replace([op], [])
        draft.lines.append(f"{len(folded)} operators computed beforehand: {names}")
        _as_constants(draft, graph, known.values, {op.index for op in folded})
    gone = {op.index for op in folded}
    dynamic = [t for t in used(graph, gone) if not t.is_static]
    fixed = [(t, shape) for t in dynamic if (shape := known.shape(t)) is not None]
    if fixed and len(fixed) == len(dynamic):
        for t, shape in fixed:
            draft.set_shape(t.index, shape)
        draft.lines.append(f"batch of unknown size fixed to 1 in {len(fixed)} tensors")
    return draft


class _Known:
    """Values of integer tensors, and shapes of tensors that were stored with a placeholder."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[int, Array] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}

    def shape(self, tensor: Tensor) -> tuple[int, ...] | None:
        """Return the shape for batch 1; None where a converter stored 1 for a dimension it did not know."""
        if tensor.index in self.shapes:
            return self.shapes[tensor.index]
        return tensor.shape if all(d >= 0 for d in tensor.shape_signature[1:]) else None

    def learn(self, op: Operator) -> bool:
        """Take in one operator; whether its output is now a known value."""
        result = _value(self.graph, op, self)
        if result is not None:
            self.values[op.outputs[0]] = result
        elif op.op == "RESHAPE":
            self._reshape(op)
        return result is not None

    def _reshape(self, op: Operator) -> None:
        source = self.shape(self.graph.tensors[op.inputs[0]])
        index = op.inputs[1] if len(op.inputs) > 1 else -1
        target = self.values.get(index, self.graph.tensors[index].data if index >= 0 else None)
        if source is None or target is None:
            return
        dims = [int(d) for d in np.asarray(target).reshape(-1)]
        rest = int(np.prod([d for d in dims if d >= 0], dtype=np.int64))
        total = int(np.prod(source, dtype=np.int64))
        if dims.count(-1) <= 1 and rest and total % rest == 0:
            self.shapes[op.outputs[0]] = tuple(total // rest if d < 0 else d for d in dims)


def _as_constants(draft: Draft, graph: Graph, values: dict[int, Array], folded: set[int]) -> None:
    """Make constants of the folded tensors that other operators read."""
    read = {t for op in graph if op.index not in folded for t in op.inputs} | set(graph.outputs)
    for index, value in values.items():
        if index in read:
            draft.set_constant(index, value)


def _value(graph: Graph, op: Operator, known: _Known) -> Array | None:
    """Return what an operator on integers gives, or None where that is not known or not a shape."""
    if op.op not in FOLDED:
        return None
    result = graph.output_tensors(op)[0]
    if result.dtype not in ("int32", "int64") or result.index in graph.outputs:
        return None
    if op.op == "SHAPE":
        shape = known.shape(graph.tensors[op.inputs[0]])
        return None if shape is None else np.asarray(shape, result.dtype)
    given: list[Array] = []
    for t in op.inputs:
        data = known.values.get(t, graph.tensors[t].data if t >= 0 else None)
        if data is None:
            return None
        given.append(np.asarray(data))
    return np.asarray(_computed(op, given), result.dtype)


def _computed(op: Operator, given: list[Array]) -> Array:
    if op.op == "STRIDED_SLICE":
        return _strided_slice(op, given)
    if op.op == "SLICE":
        start, size = (g.reshape(-1).tolist() for g in given[1:3])
        return given[0][tuple(slice(s, None if n < 0 else s + n) for s, n in zip(start, size))]
    if op.op == "PACK":
        return np.stack(given, axis=int(op.options.get("axis", 0)))
    if op.op == "CONCATENATION":
        return np.concatenate(given, axis=int(op.options.get("axis", 0)))
    if op.op == "GATHER":
        return np.take(given[0], given[1], axis=int(op.options.get("axis", 0)))
    if op.op == "RESHAPE":
        return given[0].reshape(given[1].reshape(-1).tolist())
    if op.op == "MUL":
        return np.asarray(given[0] * given[1])
    return np.asarray(given[0] + given[1] if op.op == "ADD" else given[0] - given[1])


def _strided_slice(op: Operator, given: list[Array]) -> Array:
    data, begin, end, strides = given
    shrink = int(op.options.get("shrink_axis_mask", 0))
    parts: list[Any] = []
    for i, (b, e, s) in enumerate(zip(begin.tolist(), end.tolist(), strides.tolist())):
        if shrink >> i & 1:
            parts.append(b)
            continue
        start = None if int(op.options.get("begin_mask", 0)) >> i & 1 else b
        stop = None if int(op.options.get("end_mask", 0)) >> i & 1 else e
        parts.append(slice(start, stop, s))
    return np.asarray(data[tuple(parts)])
