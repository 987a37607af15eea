"""One output of boxes and scores, taken apart into outputs with a scale each, where a concatenation made it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, pairwise

import numpy as np

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.quantize.heads.cut import without_tail


def columns_apart(
    model: bytes, output: int, axis: int, bounds: Sequence[int], names: Sequence[str]
) -> bytes | None:
    """Return the model with the pieces of an output between ``bounds`` as outputs of those names, in its place.

    None where a piece is not made by itself: then nothing could be gained.

    Args:
        output: the tensor, one of the model's outputs; further outputs stay behind the pieces.
        axis: of the channels, from 0.
        bounds: of the pieces: 0, the first channel of each other piece, and how many channels there are.
    """
    graph, editor = Graph.from_bytes(model), Editor.from_bytes(model)
    pieces = _Pieces(graph, editor).of(output, axis, tuple(bounds))
    if pieces is None:
        return None
    ends = dict(zip(names, pieces)) | {n: t for n, t in zip(graph.output_names, graph.outputs) if t != output}
    return without_tail(editor.pack(), tuple(ends.values()), tuple(ends))


def columns_cut(model: bytes, place: int, axis: int, first: int, names: tuple[str, str]) -> bytes:
    """Return the model with its output at ``place`` as two: the channels before ``first``, and the others."""
    graph, editor = Graph.from_bytes(model), Editor.from_bytes(model)
    source = graph.outputs[place]
    shape = editor.shape(source)
    made = []
    for start, end in pairwise((0, first, shape[axis])):
        begin, size = [0] * len(shape), list(shape)
        begin[axis], size[axis] = start, end - start
        limits = [editor.constant(np.array(values, np.int32)) for values in (begin, size)]
        made.append(editor.tensor(_fresh(editor), tuple(size), "float32"))
        editor.append(editor.operator("SLICE", [source, *limits], made[-1:]))
    ends = list(zip(graph.output_names, graph.outputs))
    ends[place : place + 1] = zip(names, made)
    return without_tail(editor.pack(), [t for _, t in ends], [name for name, _ in ends])


def bounds_of(graph: Graph, output: int, axis: int) -> set[int]:
    """Return at which channels an output was put together."""
    op = graph.producer.get(output)
    if op is None:
        return set()
    if op.op == "CONCATENATION":
        widths = [graph.tensors[t].shape[axis] for t in op.inputs]
        if _axis(graph, op) != axis:
            return set.intersection(*(bounds_of(graph, t, axis) for t in op.inputs))
        starts = [sum(widths[:k]) for k in range(len(widths))]
        inner = {a + b for a, t in zip(starts, op.inputs) for b in bounds_of(graph, t, axis)}
        return {*starts[1:], *inner}
    before = _ahead(graph, op, axis)
    return set() if before is None else bounds_of(graph, op.inputs[0], before)


class _Pieces:
    """Appends to a graph what makes pieces of a tensor."""

    def __init__(self, graph: Graph, editor: Editor) -> None:
        self.graph, self.editor = graph, editor

    def of(self, tensor: int, axis: int, bounds: tuple[int, ...]) -> list[int] | None:
        """Return tensors with the channels between ``bounds`` of one; None where they are not made apart."""
        if len(bounds) == 2:
            return [tensor]
        op = self.graph.producer.get(tensor)
        if op is None:
            return None
        if op.op == "CONCATENATION":
            if _axis(self.graph, op) == axis:
                return self._sorted(op, axis, bounds)
            each = [self.of(t, axis, bounds) for t in op.inputs]
            if any(e is None for e in each):
                return None
            return [self._join(list(parts), op) for parts in zip(*(e for e in each if e is not None))]
        before = _ahead(self.graph, op, axis)
        if before is None:
            return None
        found = self.of(op.inputs[0], before, bounds)
        return None if found is None else [self._moved(op, t, axis) for t in found]

    def _sorted(self, op: Operator, axis: int, bounds: tuple[int, ...]) -> list[int] | None:
        """Return the pieces of a concatenation of channels, whose parts may have to be taken apart themselves."""
        pieces: list[list[int]] = [[] for _ in pairwise(bounds)]
        start = 0
        for t in op.inputs:
            end = start + self.graph.tensors[t].shape[axis]
            inner = [b for b in bounds if start < b < end]
            parts = self.of(t, axis, (0, *(b - start for b in inner), end - start))
            if parts is None:
                return None
            first = max(k for k, b in enumerate(bounds[:-1]) if b <= start)
            for k, part in enumerate(parts):
                pieces[first + k].append(part)
            start = end
        return [p[0] if len(p) == 1 else self._join(p, op) for p in pieces]

    def _join(self, parts: list[int], like: Operator) -> int:
        axis = _axis(self.graph, like)
        shape = list(self.editor.shape(parts[0]))
        shape[axis] = sum(self.editor.shape(p)[axis] for p in parts)
        return self._made("CONCATENATION", parts, shape, {"axis": axis})

    def _moved(self, op: Operator, piece: int, axis: int) -> int:
        """Return a piece turned or reshaped as an operator does the whole."""
        shape = list(self.graph.tensors[op.outputs[0]].shape)
        if op.op == "TRANSPOSE":
            shape[axis] = self.editor.shape(piece)[_ahead(self.graph, op, axis) or 0]
            return self._made("TRANSPOSE", [piece, op.inputs[1]], shape)
        whole = int(np.prod(shape))
        shape[axis] = int(np.prod(self.editor.shape(piece))) * shape[axis] // whole
        return self._made("RESHAPE", [piece, self.editor.constant(np.array(shape, np.int32))], shape)

    def _made(
        self, op: str, inputs: list[int], shape: Sequence[int], fields: dict[str, int] | None = None
    ) -> int:
        made = self.editor.tensor(_fresh(self.editor), tuple(shape), "float32")
        self.editor.append(self.editor.operator(op, inputs, [made], fields))
        return made


def _fresh(editor: Editor) -> str:
    """Return a name that no tensor has."""
    taken = {editor.name(t) for t in range(len(editor.tensors))}
    return next(name for k in count() if (name := f"piece_{k}") not in taken)


def _axis(graph: Graph, op: Operator) -> int:
    return int(op.options["axis"]) % len(graph.tensors[op.outputs[0]].shape)


def _ahead(graph: Graph, op: Operator, axis: int) -> int | None:
    """Return which axis of an operator's input becomes an axis of what it gives; None where none does as a whole."""
    source = graph.tensors[op.inputs[0]].shape if op.inputs else ()
    shape = graph.tensors[op.outputs[0]].shape
    if op.op == "TRANSPOSE":
        order = graph.tensors[op.inputs[1]].data
        return None if order is None else int(np.asarray(order).reshape(-1)[axis])
    if op.op != "RESHAPE":
        return None
    ahead = int(np.prod(shape[:axis]))
    for k, size in enumerate(source):
        if size == shape[axis] and int(np.prod(source[:k])) == ahead:
            return k
    return None
