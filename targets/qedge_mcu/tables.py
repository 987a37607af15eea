"""A function that a model holds as a table: CAST, ADD and GATHER of int8 values become one lookup.

The three operators of qedge's quantiser (``quantize/tables.py``) and of other writers count from -128 in int32, which
takes eight bytes a value of the layer. The table is read by the value itself instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from qedge.graph import Graph, Operator


@dataclass(frozen=True)
class _Written:
    """The three operators of one table, and what is added to a value for its place in it."""

    cast: Operator
    add: Operator
    gather: Operator
    offset: int


def with_lookups(graph: Graph) -> Graph:
    """Return the graph with a ``TABLE`` in place of each such GATHER, and the other two ``FOLDED`` into it.

    Every operator keeps its place and every tensor its index; the same graph where there is no table.
    """
    instead: dict[int, Operator] = {}
    for found in _written(graph):
        for op in (found.cast, found.add):
            instead[op.index] = replace(op, op="FOLDED", custom_name=op.op, inputs=(), outputs=(), options={})
        instead[found.gather.index] = replace(
            found.gather,
            op="TABLE",
            custom_name=found.gather.op,
            inputs=(found.cast.inputs[0], found.gather.inputs[0]),
            options={"offset": found.offset},
        )
    if not instead:
        return graph
    return replace(graph, operators=tuple(instead.get(op.index, op) for op in graph))


def _written(graph: Graph) -> Iterator[_Written]:
    for gather in graph:
        if gather.op != "GATHER" or gather.options.get("axis") or gather.options.get("batch_dims"):
            continue
        table, output = graph.tensors[gather.inputs[0]], graph.tensors[gather.outputs[0]]
        add = _only_maker(graph, gather.inputs[1], "ADD")
        if table.data is None or len(table.shape) != 1 or table.dtype != "int8" or add is None:
            continue
        values = [graph.tensors[t] for t in add.inputs]
        offsets = [t.data for t in values if t.data is not None and t.elements == 1]
        places = [t.index for t in values if t.data is None]
        cast = _only_maker(graph, places[0], "CAST") if len(places) == len(offsets) == 1 else None
        plain = add.options.get("fused_activation_function", "NONE") == "NONE"
        if cast is None or not plain or output.dtype != "int8":
            continue
        source, index = graph.tensors[cast.inputs[0]], graph.tensors[gather.inputs[1]]
        if (source.dtype, index.dtype) == ("int8", "int32") and source.elements == output.elements:
            yield _Written(cast, add, gather, int(np.asarray(offsets[0]).reshape(-1)[0]))


def _only_maker(graph: Graph, tensor: int, op: str) -> Operator | None:
    """Return the operator of a kind that makes a tensor which is read once and nowhere seen."""
    maker = graph.producer.get(tensor)
    seen = tensor in graph.outputs or len(graph.consumers[tensor]) != 1
    return None if maker is None or maker.op != op or seen else maker
