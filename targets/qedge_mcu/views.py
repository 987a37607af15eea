"""Tensors that are a part of another: what deals out, cuts or joins bytes that lie together makes no code.

A part of a SPLIT, UNPACK or SLICE is read where it lies in the whole, and what CONCATENATION or PACK joins is written
where it will lie. Only tensors of the arena take part, at starts that suit the kernels which read them; the others are
copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qedge.graph import Graph, Operator
from qedge_mcu.ops.base import Emitted
from qedge_mcu.planner import ALIGN
from qedge_mcu.streams import contiguous

BYTEWISE = frozenset(
    {
        *("qe_lookup_s8", "qe_sigmoid_s8", "qe_add_s8", "qe_add_s8_dsp", "qe_add_s8_mve"),
        *("qe_mul_s8", "qe_mul_same_s8", "qe_sub_s8", "qe_sub_same_s8"),
    }
)
"""Kernels that read their inputs byte by byte, and so from any address."""


@dataclass
class Views:
    """The operators' calls, and which tensors lie in others.

    Args:
        emitted: one entry an operator.
        inside: by tensor, the tensor that it is a part of, and the byte at which it starts there.
    """

    emitted: list[Emitted]
    inside: dict[int, tuple[int, int]] = field(default_factory=dict)

    def place(self, tensor: int) -> tuple[int, int]:
        """Return the tensor whose memory it is a part of, and its first byte there."""
        start = 0
        while tensor in self.inside:
            tensor, more = self.inside[tensor]
            start += more
        return tensor, start


def aliases(graph: Graph, emitted: Sequence[Emitted]) -> Views:
    """Return the tensors that are others under another shape."""
    views = Views(list(emitted))
    for op in graph:
        if emitted[op.index].alias:
            views.inside[op.outputs[0]] = (op.inputs[0], 0)
    return views


def parts(graph: Graph, emitted: Sequence[Emitted], apart: Mapping[int, object]) -> Views:
    """Return the calls with those operators left out that only move bytes which lie together.

    Args:
        apart: tensors that do not lie in the arena.
    """
    views = aliases(graph, emitted)
    for op in graph:
        call = emitted[op.index]
        cuts = _cuts(graph, op, call)
        if cuts is not None:
            _read_in_place(graph, views, op, *cuts, apart)
        elif call.function == "qe_concatenation" and _outer(call) == 1:
            _write_in_place(graph, views, op, apart)
    return views


def _outer(call: Emitted) -> object:
    return dict(call.params.members)["outer"] if call.params is not None else None


def _cuts(graph: Graph, op: Operator, call: Emitted) -> tuple[int, list[int]] | None:
    """Return the tensor that an operator cuts, and the start of each output in it; None for other operators."""
    if call.function == "qe_split" and _outer(call) == 1:
        starts = [0]
        for t in op.outputs[:-1]:
            starts.append(starts[-1] + graph.tensors[t].nbytes)
        return op.inputs[1 if op.op == "SPLIT" else 0], starts
    if call.function == "qe_copy" and op.op in ("SLICE", "STRIDED_SLICE"):
        start = contiguous(call, graph.tensors[op.outputs[0]].nbytes)
        return None if start is None else (op.inputs[0], [start])
    return None


def _read_in_place(
    graph: Graph, views: Views, op: Operator, whole: int, starts: Sequence[int], apart: Mapping[int, object]
) -> None:
    anywhere = all(start % ALIGN == 0 for start in starts) or all(
        views.emitted[reader.index].function in BYTEWISE for t in op.outputs for reader in graph.consumers[t]
    )
    fits = anywhere and not graph.tensors[whole].is_constant
    if fits and not {whole, *op.outputs} & set(apart):
        views.inside.update({t: (whole, start) for t, start in zip(op.outputs, starts)})
        views.emitted[op.index] = Emitted(placed=True, note="read in place")


def _write_in_place(graph: Graph, views: Views, op: Operator, apart: Mapping[int, object]) -> None:
    places = [views.place(t) for t in op.inputs]
    roots, starts, at = [root for root, _ in places], [], 0
    for t in op.inputs:
        starts.append(at)
        at += graph.tensors[t].nbytes
    group = {
        t for t in (*views.inside, *roots, op.outputs[0]) if views.place(t)[0] in (*roots, op.outputs[0])
    }
    fits = (
        len(set(roots)) == len(roots)
        and op.outputs[0] not in roots
        and not group & set(apart)
        and not group & set(graph.inputs)
        and all(start % ALIGN == 0 for start in starts)
    )
    for t, (root, start) in zip(op.inputs, places):
        maker = graph.producer.get(root)
        whole = start == 0 and graph.tensors[root].nbytes == graph.tensors[t].nbytes
        fits = fits and whole and maker is not None and bool(views.emitted[maker.index].function)
    if fits:
        views.inside.update({root: (op.outputs[0], start) for root, start in zip(roots, starts)})
        views.emitted[op.index] = Emitted(placed=True, note="joined in place")
