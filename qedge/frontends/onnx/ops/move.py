"""Operators that move numbers and change none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Array, Node, Unsupported, axis_of


def _transpose(g: Lowering, node: Node) -> None:
    """Relabel: the tensor stays, the names of its dimensions change."""
    x = node.inputs[0]
    rank = g.net.rank(x)
    turn = [int(p) for p in node.get("perm", range(rank)[::-1])]
    if sorted(turn) != list(range(rank)):
        raise Unsupported(f"the permutation {turn} of {rank} dimensions")
    order = g.order(x)  # makes sure that the value lies somewhere
    del order
    g.places[node.output] = {
        tuple(turn.index(d) for d in held): tensor for held, tensor in g.places[x].items()
    }


def reshape(g: Lowering, node: Node) -> None:
    """Reshape the tensor as it lies, if that can be; else turn it first, but only once somebody needs it."""
    x, output = node.inputs[0], node.output
    old, new = g.net.shape(x), g.net.shape(output)
    if old == new:
        g.alias(output, x)
        return
    g.order(x)
    for held, tensor in g.places[x].items():
        order = layout.reshaped(old, new, held)
        if order is not None:
            g.put(output, g.writer.reshape(tensor, layout.arranged(new, order)), order)
            return

    def turned() -> None:
        wanted = layout.gathered(old, new, next(iter(g.places[x])))
        order = layout.reshaped(old, new, wanted)
        if order is None:
            raise AssertionError(f"{old} to {new} by way of {wanted}")
        g.put(output, g.writer.reshape(g.get(x, wanted), layout.arranged(new, order)), order)

    if len(new) == 2 and math.prod(old[1:]) == new[1] and old[0] == new[0]:
        held, tensor = next(iter(g.places[x].items()))
        if held[0] == 0 or old[0] == 1:  # a flattened image: a dense layer takes its columns as they lie
            columns = np.arange(math.prod(old)).reshape(old).transpose(held).reshape(-1)[: new[1]]
            if held[0] == 0:
                columns = np.arange(new[1]).reshape(old[1:]).transpose([d - 1 for d in held[1:]]).reshape(-1)
            g.columns[output] = (g.writer.reshape(tensor, new), columns)
    g.defer(output, turned)


def _concat(g: Lowering, node: Node) -> None:
    net = g.net
    names = [n for n in node.inputs if math.prod(net.shape(n))]
    rank = net.rank(node.output)
    axis = axis_of(int(node.get("axis", 0)), rank)
    order = g.common_order(names, rank)
    g.put(node.output, g.concat([g.get(n, order) for n in names], order.index(axis)), order)


def _split(g: Lowering, node: Node) -> None:
    """SPLIT into equal parts, else SLICEs: the Edge TPU has no SPLIT_V."""
    net, writer = g.net, g.writer
    x = node.inputs[0]
    axis = axis_of(int(node.get("axis", 0)), net.rank(x))
    order = g.order(x)
    tensor, at = g.get(x, order), order.index(axis)
    sizes = [net.shape(o)[axis] for o in node.outputs if o]
    shapes = [layout.arranged(net.shape(o), order) for o in node.outputs if o]
    if len(sizes) == 1:
        g.alias(node.outputs[0], x)
        return
    used = [o for o in node.outputs if o and (o in net.users or o in net.outputs)]
    if len(set(sizes)) == 1 and len(used) == len(sizes):
        parts = writer.ops(
            "SPLIT",
            [g.integers([at]), tensor],
            shapes,
            writer.dtype(tensor),
            num_splits=len(sizes),
        )
    else:
        parts, start = [], 0
        for size, shape in zip(sizes, shapes):
            begin = [0] * len(shape)
            begin[at] = start
            parts.append(g.slice(tensor, begin, shape))
            start += size
    for name, part in zip(filter(None, node.outputs), parts):
        g.put(name, part, order)


def _slice(g: Lowering, node: Node) -> None:
    net = g.net
    x = node.inputs[0]
    shape, rank = net.shape(x), net.rank(x)
    starts, ends = net.integers(node, 1, "starts"), net.integers(node, 2, "ends")
    if starts is None or ends is None:
        raise Unsupported("no start or end")
    axes = net.integers(node, 3, "axes") or list(range(len(starts)))
    steps = net.integers(node, 4, "steps") or [1] * len(starts)
    begin, count, step = [0] * rank, list(shape), [1] * rank
    for axis, start, end, by in zip(axes, starts, ends, steps):
        a = axis_of(axis, rank)
        chosen = range(*slice(start, end, by).indices(shape[a]))
        begin[a], count[a], step[a] = (chosen[0] if len(chosen) else 0), len(chosen), by
    if 0 in count:
        raise Unsupported("it gives nothing")
    order = g.order(x)
    tensor = g.get(x, order)
    for a in range(rank):  # backwards: reverse first, then forwards
        if step[a] < 0:
            tensor = reverse(g, tensor, order.index(a))
            begin[a], step[a] = shape[a] - 1 - begin[a], -step[a]
    g.put(node.output, part(g, tensor, *([v[d] for d in order] for v in (begin, count, step))), order)


def reverse(g: Lowering, tensor: int, axis: int) -> int:
    """Return a tensor backwards along an axis."""
    return g.writer.op("REVERSE_V2", [tensor, g.integers([axis])], g.writer.shape(tensor))


def part(g: Lowering, tensor: int, begin: Sequence[int], count: Sequence[int], step: Sequence[int]) -> int:
    """Return every ``step``-th of ``count`` entries from ``begin`` on, along each dimension."""
    if all(s == 1 or c == 1 for s, c in zip(step, count)):
        return g.slice(tensor, begin, count)
    end = [b + (c - 1) * s + 1 for b, c, s in zip(begin, count, step)]
    return g.writer.op(
        "STRIDED_SLICE",
        [tensor, g.integers(begin), g.integers(end), g.integers(step)],
        count,
    )


def _expand(g: Lowering, node: Node) -> None:
    """TILE: the Edge TPU has it, and BROADCAST_TO it has not."""
    net = g.net
    x, new = node.inputs[0], net.shape(node.output)
    order = g.common_order([x], len(new))
    tensor = g.writer.reshape(g.operand(x, len(new), order), _with_ones(net.shape(x), len(new), order))
    g.put(node.output, tile(g, tensor, layout.arranged(new, order)), order)


def _with_ones(shape: Sequence[int], rank: int, order: layout.Order) -> list[int]:
    padded = [1] * (rank - len(shape)) + list(shape)
    return [padded[d] for d in order]


def tile(g: Lowering, tensor: int, shape: Sequence[int]) -> int:
    """Return a tensor repeated until it has this shape."""
    have = g.writer.shape(tensor)
    if have == tuple(shape):
        return tensor
    times = [n // h for n, h in zip(shape, have)]
    return g.writer.op("TILE", [tensor, g.integers(times)], shape)


def _tile(g: Lowering, node: Node) -> None:
    order = g.order(node.inputs[0])
    made = tile(g, g.get(node.inputs[0], order), layout.arranged(g.net.shape(node.output), order))
    g.put(node.output, made, order)


def _pad(g: Lowering, node: Node) -> None:
    net, writer = g.net, g.writer
    x, rank = node.inputs[0], net.rank(node.inputs[0])
    stated = net.integers(node, 1, "pads") or []
    axes = net.integers(node, 3, "axes") if "axes" not in node.attrs else None
    chosen = [axis_of(a, rank) for a in axes] if axes else list(range(rank))
    half = len(stated) // 2
    if half != len(chosen):
        raise Unsupported(f"{len(stated)} paddings for {len(chosen)} dimensions")
    pads = np.zeros((rank, 2), np.int64)
    for k, a in enumerate(chosen):
        pads[a] = stated[k], stated[half + k]
    order = g.order(x)
    tensor = g.get(x, order)
    pads = pads[list(order)]
    if (pads < 0).any():
        less = np.minimum(pads, 0)
        begin = [int(-a) for a, _ in less]
        tensor = g.slice(tensor, begin, [s + int(a + b) for s, (a, b) in zip(writer.shape(tensor), less)])
        pads = np.maximum(pads, 0)
    mode = node.get("mode", "constant")
    if pads.any():
        if mode == "constant":
            value = net.scalar(node, 2, "value") or 0.0
            tensor = _constant_pad(g, tensor, pads, value)
        else:
            tensor = _mirrored(g, tensor, pads, mode)
    g.put(node.output, tensor, order)


def _constant_pad(g: Lowering, tensor: int, pads: Array, value: float) -> int:
    writer = g.writer
    shape = [s + int(p.sum()) for s, p in zip(writer.shape(tensor), pads)]
    sizes = writer.constant(pads.astype(np.int32))
    if value == 0:
        return writer.op("PAD", [tensor, sizes], shape)
    constant = writer.constant(np.asarray(value, writer.dtype(tensor)))
    return writer.op("PADV2", [tensor, sizes, constant], shape)


def _mirrored(g: Lowering, tensor: int, pads: Array, mode: str) -> int:
    """Return a tensor with its own numbers around it: ``reflect``, ``edge`` or ``wrap``."""
    writer = g.writer
    shape = writer.shape(tensor)
    fits = all(p.max() < s for p, s in zip(pads, shape) if p.any())
    if (mode == "reflect" and fits) or (mode == "edge" and pads.max() == 1):
        result = [s + int(p.sum()) for s, p in zip(shape, pads)]
        return writer.op(
            "MIRROR_PAD", [tensor, writer.constant(pads.astype(np.int32))], result,
            mode=0 if mode == "reflect" else 1,
        )  # fmt: skip
    if mode not in ("reflect", "edge", "wrap"):
        raise Unsupported(f"mode {mode!r}")
    names = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    for axis, (before, after) in enumerate(pads):
        if before or after:
            index = np.pad(np.arange(shape[axis]), (int(before), int(after)), mode=names[mode])  # type: ignore[call-overload]
            tensor = gather(g, tensor, index, axis)
    return tensor


def gather(g: Lowering, tensor: int, index: Array, axis: int) -> int:
    """Return entries along an axis, as a SLICE where they lie in a row."""
    index = np.asarray(index).ravel()
    shape = list(g.writer.shape(tensor))
    steps = np.diff(index)
    begin, count, step = [0] * len(shape), list(shape), [1] * len(shape)
    begin[axis], count[axis] = int(index[0]), len(index)
    if len(index) == 1 or ((steps == steps[0]).all() and steps[0] > 0):
        step[axis] = int(steps[0]) if len(index) > 1 else 1
        return part(g, tensor, begin, count, step)
    shape[axis] = len(index)
    return g.writer.op("GATHER", [tensor, g.writer.constant(index.astype(np.int32))], shape, axis=axis)


def _depth_to_space(g: Lowering, node: Node) -> None:
    block = int(node.get("blocksize", 1))
    x = node.inputs[0]
    last = layout.channels_last(4)
    tensor = g.get(x, last)
    channels = g.net.shape(x)[1]
    if node.get("mode", "DCR") == "CRD" and channels > block * block:
        index = np.arange(channels).reshape(-1, block * block).T.ravel()
        tensor = gather(g, tensor, index, 3)
    shape = layout.arranged(g.net.shape(node.output), last)
    g.put(
        node.output,
        g.writer.op("DEPTH_TO_SPACE", [tensor], shape, block_size=block),
        last,
    )


def _space_to_depth(g: Lowering, node: Node) -> None:
    block = int(node.get("blocksize", 1))
    last = layout.channels_last(4)
    shape = layout.arranged(g.net.shape(node.output), last)
    tensor = g.get(node.inputs[0], last)
    made = g.writer.op("SPACE_TO_DEPTH", [tensor], shape, block_size=block)
    if node.get("mode", "DCR") == "CRD":  # made by qedge itself: each channel's block together
        channels = shape[3]
        made = gather(g, made, np.arange(channels).reshape(block * block, -1).T.ravel(), 3)
    g.put(node.output, made, last)


def _trilu(g: Lowering, node: Node) -> None:
    net = g.net
    x = node.inputs[0]
    k = net.optional(node, 1, "diagonal")
    diagonal = int(k.ravel()[0]) if k is not None else 0
    rows, columns = net.shape(x)[-2:]
    square = np.ones((rows, columns), np.float32)
    mask = np.triu(square, diagonal) if node.get("upper", 1) else np.tril(square, diagonal)
    name = net.add_constant(mask.astype(net.dtypes[x]) if net.dtypes[x].kind != "b" else mask > 0)
    g.elementwise("LOGICAL_AND" if net.dtypes[x].kind == "b" else "MUL", [x, name], node.output)


def _reverse_sequence(g: Lowering, node: Node) -> None:
    net = g.net
    lengths = net.constant(node, 1, "lengths")
    time = int(node.get("time_axis", 0))
    x = node.inputs[0]
    if np.any(lengths != net.shape(x)[time]):
        raise Unsupported("sequences of different lengths")
    order = g.order(x)
    g.put(node.output, reverse(g, g.get(x, order), order.index(time)), order)


HANDLERS: dict[str, Handler] = {
    "Transpose": _transpose,
    "Reshape": reshape,
    "Flatten": reshape,
    "Squeeze": reshape,
    "Unsqueeze": reshape,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Trilu": _trilu,
    "ReverseSequence": _reverse_sequence,
}
