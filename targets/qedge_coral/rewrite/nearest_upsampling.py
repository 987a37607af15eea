"""Write repetition along height and width as RESIZE_NEAREST_NEIGHBOR.

Keras' nearest ``UpSampling2D`` arrives as RESHAPE (or EXPAND_DIMS) to five or more dimensions, TILE, RESHAPE; the
Edge TPU takes three dimensions and no int8 TILE. ``out[i] = in[i // factor]`` is the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qedge.graph import Graph, Operator
from qedge_coral.rewrite.edit import Editor

TITLE = "nearest up-sampling as one operator"


def apply(tree: Any, graph: Graph) -> list[str]:
    """Replace each RESHAPE, TILE, RESHAPE that repeats rows or columns, and join resizes that follow."""
    editor = Editor(tree, graph)
    for tile in graph:
        chain = _chain(graph, tile) if tile.op == "TILE" else None
        if chain is not None and editor.is_free(chain):
            _resize(editor, graph, chain, f"RESHAPE, {tile.label} and RESHAPE")
    for second in graph:
        first = graph.producer.get(second.inputs[0]) if second.op == "RESIZE_NEAREST_NEIGHBOR" else None
        if first is None or not editor.is_free([first, second]) or not _joins(graph, first, second):
            continue
        _resize(editor, graph, [first, second], f"{first.label} and {second.label}")
    return editor.finish()


def repeats(source: Sequence[int], middle: Sequence[int], multiples: Sequence[int]) -> list[int] | None:
    """Return the factor along each axis of ``source``, or None where the three operators do more than repeat.

    ``middle`` must be ``source`` with 1s put in, and ``multiples`` 1 but for those that follow an axis.

    >>> repeats([1, 4, 4, 8], [1, 4, 1, 4, 8], [1, 1, 2, 1, 1])
    [1, 2, 1, 1]
    """
    factors = [1] * len(source)
    at = 0
    for size, times in zip(middle, multiples):
        if at < len(source) and size == source[at] and times == 1:
            at += 1
        elif size == 1 and at > 0:
            factors[at - 1] *= times
        else:
            return None
    return factors if at == len(source) else None


def _chain(graph: Graph, tile: Operator) -> list[Operator] | None:
    before = graph.producer.get(tile.inputs[0])
    after = graph.consumers[tile.outputs[0]]
    if before is None or before.op not in ("RESHAPE", "EXPAND_DIMS") or len(after) != 1:
        return None
    chain = [before, tile, after[0]]
    if after[0].op not in ("RESHAPE", "SQUEEZE") or len(graph.consumers[before.outputs[0]]) != 1:
        return None
    if before.outputs[0] in graph.outputs or tile.outputs[0] in graph.outputs:
        return None
    source, middle = graph.tensors[before.inputs[0]], graph.tensors[tile.inputs[0]]
    result, multiples = graph.tensors[after[0].outputs[0]], graph.tensors[tile.inputs[1]]
    if multiples.data is None or len(source.shape) != 4:
        return None
    factors = repeats(source.shape, middle.shape, [int(m) for m in np.asarray(multiples.data).reshape(-1)])
    if factors is None or factors[0] != 1 or factors[3] != 1 or max(factors) == 1:
        return None
    if result.shape != tuple(d * f for d, f in zip(source.shape, factors)):
        return None
    return chain if same_quantization(graph, before.inputs[0], result.index) else None


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


def _resize(editor: Editor, graph: Graph, chain: Sequence[Operator], what: str) -> None:
    source, result = graph.tensors[chain[0].inputs[0]], graph.tensors[chain[-1].outputs[0]]
    size = editor.constant(f"{result.name}/size", np.asarray(result.shape[1:3], np.int32))
    version = 2 if source.dtype == "int8" else 1
    node = editor.operator("RESIZE_NEAREST_NEIGHBOR", version, [source.index, size], [result.index])
    shape = f"{source.shape[1]}x{source.shape[2]} to {result.shape[1]}x{result.shape[2]}"
    editor.replace(chain, [node], f"{what} as RESIZE_NEAREST_NEIGHBOR {shape}")
