"""Write repetition along height and width as RESIZE_NEAREST_NEIGHBOR.

Keras' nearest ``UpSampling2D`` arrives as RESHAPE (or EXPAND_DIMS) to five or more dimensions, TILE, RESHAPE, often
twice in a row; the Edge TPU takes three dimensions and no int8 TILE. ``out[i] = in[i // factor]`` is the same in
both. Whether a chain does just that is found by sending the positions of its input through it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qedge.graph import Graph, Operator
from qedge_coral.rewrite.draft import Array, Draft

TITLE = "nearest up-sampling as one operator"
MOVERS = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "TILE")
MAX_VALUES = 1 << 26
"""Largest result whose positions are followed."""


def apply(graph: Graph) -> Draft:
    """Replace each chain of RESHAPE and TILE that repeats rows or columns, and join resizes that follow."""
    draft = Draft(graph)
    for first in graph:
        chain = _chain(graph, first) if first.op in ("RESHAPE", "EXPAND_DIMS") else None
        if chain is not None and draft.is_free(chain):
            _resize(draft, graph, chain, f"{first.label} to {chain[-1].label}")
    for second in graph:
        before = graph.producer.get(second.inputs[0]) if second.op == "RESIZE_NEAREST_NEIGHBOR" else None
        if before is None or not draft.is_free([before, second]) or not _joins(graph, before, second):
            continue
        _resize(draft, graph, [before, second], f"{before.label} and {second.label}")
    return draft


def repeats(positions: Array, source: Sequence[int]) -> bool:
    """Whether ``positions``, 4-D, are those of an array of shape ``source`` with rows and columns repeated.

    >>> repeats(np.arange(4).reshape(1, 2, 2, 1).repeat(2, axis=1), (1, 2, 2, 1))
    True
    >>> repeats(np.tile(np.arange(4).reshape(1, 2, 2, 1), (1, 2, 1, 1)), (1, 2, 2, 1))
    False
    """
    _, height, width, _ = source
    if positions.shape[1] % height or positions.shape[2] % width or positions.size == np.prod(source):
        return False
    wanted = np.arange(np.prod(source), dtype=positions.dtype).reshape(source)
    wanted = wanted.repeat(positions.shape[1] // height, axis=1).repeat(positions.shape[2] // width, axis=2)
    return bool(np.array_equal(wanted, positions))


def _chain(graph: Graph, first: Operator) -> list[Operator] | None:
    """Return the longest run of :data:`MOVERS` from ``first`` on that is a repetition, or None."""
    source = graph.tensors[first.inputs[0]]
    if len(source.shape) != 4:
        return None
    positions: Array = np.arange(source.elements, dtype=np.int32).reshape(source.shape)
    run: list[Operator] = []
    best: list[Operator] | None = None
    op = first
    while op.op in MOVERS and graph.output_tensors(op)[0].elements <= MAX_VALUES:
        result = graph.output_tensors(op)[0]
        if op.op == "TILE":
            multiples = graph.tensors[op.inputs[1]].data
            if multiples is None:
                break
            positions = np.tile(positions, [int(m) for m in np.asarray(multiples).reshape(-1)])
        if positions.size != result.elements:
            break
        positions = positions.reshape(result.shape)
        run = [*run, op]
        same = len(result.shape) == 4 and same_quantization(graph, source.index, result.index)
        if same and repeats(positions, source.shape):
            best = run
        following = graph.consumers[result.index]
        if len(following) != 1 or result.index in graph.outputs:
            break
        op = following[0]
    return best


def same_quantization(graph: Graph, first: int, second: int) -> bool:
    """Return whether two tensors are of one 8-bit type, scale and zero point."""
    a, b = graph.tensors[first], graph.tensors[second]
    if (
        a.dtype != b.dtype
        or a.dtype not in ("int8", "uint8")
        or a.quantization is None
        or b.quantization is None
    ):
        return False
    return a.quantization.scalar == b.quantization.scalar


def _joins(graph: Graph, first: Operator, second: Operator) -> bool:
    """Whether two resizes by whole factors, nothing between them, are one."""
    if first.op != second.op or len(graph.consumers[first.outputs[0]]) != 1:
        return False
    if first.outputs[0] in graph.outputs:
        return False
    plain = all(
        not o.options.get(k) for o in (first, second) for k in ("align_corners", "half_pixel_centers")
    )
    start, end = graph.tensors[first.inputs[0]].shape, graph.tensors[second.outputs[0]].shape
    between = graph.tensors[first.outputs[0]].shape
    whole = all(b % a == 0 and c % b == 0 for a, b, c in zip(start[1:3], between[1:3], end[1:3]))
    return plain and whole and same_quantization(graph, first.inputs[0], second.outputs[0])


def _resize(draft: Draft, graph: Graph, chain: Sequence[Operator], what: str) -> None:
    source, result = graph.tensors[chain[0].inputs[0]], graph.tensors[chain[-1].outputs[0]]
    size = draft.constant(f"{result.name}/size", np.asarray(result.shape[1:3], np.int32))
    version = 2 if source.dtype == "int8" else 1
    node = draft.operator("RESIZE_NEAREST_NEIGHBOR", version, [source.index, size], [result.index])
    shape = f"{source.shape[1]}x{source.shape[2]} to {result.shape[1]}x{result.shape[2]}"
    draft.replace(chain, [node], f"{what} as RESIZE_NEAREST_NEIGHBOR {shape}")
