"""Bring reshapes and transposes of five and more dimensions under four, and channels that only change places.

The Edge TPU takes three dimensions above 1. A channel shuffle (RESHAPE to groups, TRANSPOSE, RESHAPE back) only moves
channels: a 1x1 convolution with a 1 for each does that at any size, exactly, and so it does for a GATHER of channels
by a constant. What only regroups values is one
RESHAPE. Any other transpose is written with neighbouring dimensions that stay together as one. What a chain
does is found by sending the positions of its input through it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qedge.graph import Graph, Operator
from qedge_coral.rewrite.draft import Array, Draft
from qedge_coral.rewrite.nearest_upsampling import same_quantization

TITLE = "reshapes and transposes of more than four dimensions, channels that change places"
MOVERS = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "TRANSPOSE")
MAX_VALUES = 1 << 24
"""Largest tensor whose positions are followed."""
MAX_CHANNELS = 1024
"""Most channels that are shuffled by a convolution: it takes the square of that in bytes."""


def apply(graph: Graph) -> Draft:
    """Replace each chain of movers that goes above four dimensions and comes back, and each GATHER of channels."""
    draft = Draft(graph)
    for first in graph:
        order = _picked(graph, first) if first.op == "GATHER" else None
        if order is not None:
            made = _convolution(draft, graph, first.inputs[0], first.outputs[0], order)
            draft.replace([first], [made], f"{first.label}: {len(order)} channels by a 1x1 convolution")
            continue
        chain = _chain(graph, first) if first.op in MOVERS else None
        if chain is not None and draft.is_free(chain):
            _replace(draft, graph, chain)
    return draft


def _picked(graph: Graph, op: Operator) -> Array | None:
    """Return the channels that a GATHER takes of an image, in their order; None where it does something else."""
    source, index = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
    axis, outer = int(op.options.get("axis", 0)), int(op.options.get("batch_dims", 0))
    if len(source.shape) != 4 or axis not in (3, -1) or outer or index.data is None or index.data.ndim != 1:
        return None
    if source.dtype not in ("int8", "uint8") or not same_quantization(graph, source.index, op.outputs[0]):
        return None
    order: Array = np.asarray(index.data)
    inside = order.size and order.min() >= 0 and order.max() < source.shape[3]
    return order if inside and max(source.shape[3], order.size) <= MAX_CHANNELS else None


def _rank(graph: Graph, tensor: int) -> int:
    return len(graph.tensors[tensor].shape)


def _chain(graph: Graph, first: Operator) -> list[Operator] | None:
    """Return the movers from ``first`` on, up to where the result is of at most four dimensions again."""
    source = graph.tensors[first.inputs[0]]
    if len(source.shape) > 4 or _rank(graph, first.outputs[0]) <= 4 or source.elements > MAX_VALUES:
        return None
    run, op = [first], first
    while _rank(graph, op.outputs[0]) > 4:
        following = graph.consumers[op.outputs[0]]
        if len(following) != 1 or op.outputs[0] in graph.outputs or following[0].op not in MOVERS:
            return None
        op = following[0]
        run.append(op)
    return run if same_quantization(graph, source.index, op.outputs[0]) else None


def _moved(graph: Graph, chain: Sequence[Operator]) -> Array | None:
    """Return, for every place of the result, the position in the source that it comes from."""
    source = graph.tensors[chain[0].inputs[0]]
    positions: Array = np.arange(source.elements, dtype=np.int32).reshape(source.shape)
    for op in chain:
        result = graph.output_tensors(op)[0]
        if op.op == "TRANSPOSE":
            order = graph.tensors[op.inputs[1]].data
            if order is None:
                return None
            positions = positions.transpose([int(v) for v in np.asarray(order).reshape(-1)])
        if positions.size != result.elements:
            return None
        positions = positions.reshape(result.shape)
    return positions


def channel_order(positions: Array, source: Sequence[int]) -> Array | None:
    """Return the source's channel for each channel of the result, where nothing but channels moves.

    >>> channel_order(np.arange(8).reshape(1, 1, 2, 4)[..., [0, 2, 1, 3]], (1, 1, 2, 4))
    array([0, 2, 1, 3])
    """
    if positions.ndim != 4 or tuple(source) != positions.shape:
        return None
    order = positions[0, 0, 0] % source[3]
    here = np.arange(positions.size, dtype=positions.dtype).reshape(source)[..., order]
    return order if np.array_equal(here, positions) else None


def _replace(draft: Draft, graph: Graph, chain: Sequence[Operator]) -> None:
    positions = _moved(graph, chain)
    if positions is None:
        return
    source, result = graph.tensors[chain[0].inputs[0]], graph.tensors[chain[-1].outputs[0]]
    what = f"{chain[0].label} to {chain[-1].label}"
    if np.array_equal(positions.reshape(-1), np.arange(positions.size)):
        draft.replace(chain, [draft.reshape(source.index, result.index)], f"{what} as one RESHAPE")
        return
    order = channel_order(positions, source.shape)
    if order is not None and source.shape[3] <= MAX_CHANNELS:
        draft.replace(chain, [_convolution(draft, graph, source.index, result.index, order)], "")
        draft.lines.append(f"{what}: {len(order)} channels moved by a 1x1 convolution")
        return
    turns = [op for op in chain if op.op == "TRANSPOSE"]
    if len(turns) == 1:
        before = graph.tensors[turns[0].inputs[0]].shape
        order = np.asarray(graph.tensors[turns[0].inputs[1]].data).reshape(-1)
        shape, axes = joined(before, order.tolist())
        if len(shape) <= 4:
            _transpose(draft, chain, source.index, result.index, shape, axes)
            draft.lines.append(f"{what}: transposed in {len(shape)} dimensions instead of {len(before)}")


def joined(shape: Sequence[int], order: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a transpose with axes of 1 dropped and neighbours that stay neighbours as one axis.

    >>> joined((1, 8, 8, 2, 3), (0, 1, 2, 4, 3))
    ((64, 2, 3), (0, 2, 1))
    """
    kept = [axis for axis in order if shape[axis] > 1]
    groups: list[list[int]] = []
    rank = {axis: i for i, axis in enumerate(sorted(kept))}
    for axis in kept:
        if groups and rank[axis] == rank[groups[-1][-1]] + 1:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    ordered = sorted(groups)
    sizes = tuple(int(np.prod([shape[axis] for axis in group])) for group in ordered)
    return sizes, tuple(ordered.index(group) for group in groups)


def _transpose(
    draft: Draft,
    chain: Sequence[Operator],
    source: int,
    result: int,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
) -> None:
    lead = 4 - len(shape)
    wide = (1,) * lead + shape
    order = (*range(lead), *(lead + axis for axis in axes))
    first = draft.tensor_like(source, f"reshape_{result}/joined", wide)
    turned = draft.tensor_like(source, f"reshape_{result}/turned", [wide[axis] for axis in order])
    turn = draft.constant(f"reshape_{result}/order", np.asarray(order, np.int32))
    nodes = [
        draft.reshape(source, first),
        draft.operator("TRANSPOSE", 2, [first, turn], [turned]),
        draft.reshape(turned, result),
    ]
    draft.replace(chain, nodes)


def _convolution(draft: Draft, graph: Graph, source: int, result: int, order: Array) -> Operator:
    """Return a 1x1 convolution with one weight of 1 an output: the scales are equal, so it only moves values."""
    tensor = graph.tensors[source]
    assert tensor.quantization is not None
    channels = len(order)
    ones = np.zeros((channels, 1, 1, tensor.shape[3]), np.dtype(tensor.dtype).type)
    ones[np.arange(channels), 0, 0, order] = 1
    kernel = draft.constant(f"shuffle_{result}", ones, scale=1.0)
    bias = draft.constant(f"shuffle_{result}/bias", np.zeros(channels, np.int32), tensor.quantization.scale)
    options = {
        "padding": "VALID",
        "stride_w": 1,
        "stride_h": 1,
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
        "fused_activation_function": "NONE",
    }
    return draft.operator(
        "CONV_2D", 3 if tensor.dtype == "int8" else 1, [source, kernel, bias], [result], options
    )
