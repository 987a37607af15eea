"""Looking up, scattering, sorting and counting."""

from __future__ import annotations

import math

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Array, Node, Unsupported, axis_of
from qedge.frontends.onnx.ops.move import gather, part, tile


def _gather(g: Lowering, node: Node) -> None:
    net = g.net
    x, index = node.inputs[:2]
    rank = net.rank(x)
    axis = axis_of(int(node.get("axis", 0)), rank)
    if net.is_constant(index):
        values = net.constants[index].astype(np.int64)
        size = net.shape(x)[axis]
        if values.size == 0 or values.min() < -size or values.max() >= size:
            raise Unsupported(f"it looks up entries that are not there, of {size}")
        values = np.where(values < 0, values + size, values)
        order = g.order(x)
        tensor = gather(g, g.get(x, order), values, order.index(axis))
        _put_gathered(g, node, tensor, order, axis, values.ndim)
        return
    order = layout.identity(rank) if net.rank(index) != 1 else g.order(x)
    at = order.index(axis)
    tensor, where = g.get(x, order), g.get(index)
    shape = [*g.writer.shape(tensor)[:at], *g.writer.shape(where), *g.writer.shape(tensor)[at + 1 :]]
    made = g.writer.op("GATHER", [tensor, where], shape, axis=at)
    _put_gathered(g, node, made, order, axis, net.rank(index))


def _put_gathered(g: Lowering, node: Node, tensor: int, order: layout.Order, axis: int, ranks: int) -> None:
    """Say where the result of a lookup lies, whose index took the place of a dimension.

    Args:
        tensor: with the index's dimensions, joined or not, where ``axis`` was.
        order: of the value that was looked up in.
        ranks: dimensions of the index.
    """
    result: list[int] = []
    for d in order:
        if d == axis:
            result += range(axis, axis + ranks)
        else:
            result.append(d if d < axis else d + ranks - 1)
    made = g.writer.reshape(tensor, layout.arranged(g.net.shape(node.output), tuple(result)))
    g.put(node.output, made, tuple(result))


def _gather_elements(g: Lowering, node: Node) -> None:
    """GATHER where the index is the same for all that stands beside it, else GATHER_ND."""
    net, writer = g.net, g.writer
    x, index = node.inputs
    rank = net.rank(x)
    axis = axis_of(int(node.get("axis", 0)), rank)
    shape = net.shape(index)
    rows = _repeated(g, index, axis)
    if rows is not None and all(a == b for d, (a, b) in enumerate(zip(shape, net.shape(x))) if d != axis):
        tensor = g.get(x)
        made = writer.op("GATHER", [tensor, rows], shape, axis=axis)
        g.put(node.output, made)
        return
    if net.is_constant(index):
        values = net.constants[index].astype(np.int64)
        values = np.where(values < 0, values + net.shape(x)[axis], values)
        grid = np.indices(shape)
        grid[axis] = values
        flat = np.ravel_multi_index(tuple(grid), net.shape(x))
        whole = writer.reshape(g.get(x), (math.prod(net.shape(x)),))
        g.put(node.output, writer.reshape(gather(g, whole, flat, 0), shape))
        return
    parts = []
    for d in range(rank):
        if d == axis:
            parts.append(writer.reshape(g.get(index), (*shape, 1)))
        else:
            parts.append(writer.constant(np.indices(shape)[d][..., None].astype(np.int32)))
    where = g.concat(parts, rank) if rank > 1 else parts[0]
    g.put(node.output, writer.op("GATHER_ND", [g.get(x), where], shape))


def _repeated(g: Lowering, index: str, axis: int) -> int | None:
    """Return the index along ``axis`` as a vector if it is the same everywhere else, by how it was made."""
    net, name = g.net, index
    for _ in range(8):
        shape = net.shape(name)
        if math.prod(shape) == net.shape(index)[axis] and not net.is_constant(name):
            return g.writer.reshape(g.get(name), (math.prod(shape),))
        maker = net.makers.get(name)
        if maker is None or maker.op not in ("Expand", "Tile", "Identity", "Cast", "Unsqueeze", "Reshape"):
            return None
        inner = maker.inputs[0]
        if net.is_constant(inner):
            return None
        if maker.op in ("Unsqueeze", "Reshape") and math.prod(net.shape(inner)) != net.shape(index)[axis]:
            return None
        if maker.op in ("Expand", "Tile"):
            old = (1,) * (net.rank(name) - net.rank(inner)) + net.shape(inner)
            if any(o != 1 and o != n for o, n in zip(old, shape)):
                return None
            if old[axis] != shape[axis] if len(shape) == net.rank(index) else True:
                return None
        name = inner
    return None


def _gather_nd(g: Lowering, node: Node) -> None:
    net, writer = g.net, g.writer
    x, index = node.inputs
    batch = int(node.get("batch_dims", 0))
    if batch and math.prod(net.shape(x)[:batch]) != 1:
        raise Unsupported(f"batch_dims {batch}")
    source, where = g.get(x), g.get(index)
    if batch:
        source = writer.reshape(source, net.shape(x)[batch:])
        where = writer.reshape(where, net.shape(index)[batch:])
    shape = [*writer.shape(where)[:-1], *writer.shape(source)[writer.shape(where)[-1] :]]
    made = writer.op("GATHER_ND", [source, where], shape)
    g.put(node.output, writer.reshape(made, net.shape(node.output)))


def _scatter(g: Lowering, node: Node, x: str, updates: str, places: Array) -> None:
    """Put updates at known places (positions in the flattened value): one lookup in both, joined."""
    net, writer = g.net, g.writer
    if node.get("reduction", "none") != "none":
        raise Unsupported(f"reduction {node.get('reduction')}")
    size = math.prod(net.shape(x))
    index = np.arange(size)
    index[places.ravel()] = size + np.arange(places.size)
    if places.size == size and (np.sort(places.ravel()) == np.arange(size)).all():
        whole, index = writer.reshape(g.get(updates), (size,)), index - size
    else:
        whole = g.concat([writer.reshape(g.get(n), (math.prod(net.shape(n)),)) for n in (x, updates)], 0)
    made = gather(g, whole, index, 0)
    g.put(node.output, writer.reshape(made, net.shape(node.output)))


def _scatter_elements(g: Lowering, node: Node) -> None:
    net = g.net
    x, _, updates = node.inputs
    axis = axis_of(int(node.get("axis", 0)), net.rank(x))
    index = net.constant(node, 1, "index")
    grid = np.indices(index.shape)
    grid[axis] = np.where(index < 0, index + net.shape(x)[axis], index)
    _scatter(g, node, x, updates, np.asarray(np.ravel_multi_index(tuple(grid), net.shape(x))))


def _scatter_nd(g: Lowering, node: Node) -> None:
    net = g.net
    x, _, updates = node.inputs
    shape = net.shape(x)
    index = net.constant(node, 1, "index").astype(np.int64)
    depth = index.shape[-1]
    index = np.where(index < 0, index + np.array(shape[:depth]), index)
    inner = math.prod(shape[depth:])
    first = np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), shape[:depth]) * inner
    _scatter(g, node, x, updates, first[..., None] + np.arange(inner))


def _top_k(g: Lowering, node: Node) -> None:
    """TOPK_V2 along the last dimension; the smallest are the largest of the negatives."""
    net, writer = g.net, g.writer
    x, rank = node.inputs[0], net.rank(node.inputs[0])
    k = net.integers(node, 1, "k")
    axis = axis_of(int(node.get("axis", -1)), rank)
    order = (*(d for d in g.order(x) if d != axis), axis)
    tensor = g.get(x, order)
    largest = bool(node.get("largest", 1))
    if not largest:
        tensor = g.one("NEG", tensor)
    shape = [*writer.shape(tensor)[:-1], (k or [1])[0]]
    count = writer.constant(np.int32(shape[-1]))
    values, index = writer.ops("TOPK_V2", [tensor, count], [shape, shape], [writer.dtype(tensor), np.int32])
    if not largest:
        values = g.one("NEG", values)
    for name, made in zip(node.outputs, (values, index)):
        if name:
            g.put(name, made, order)


def _one_hot(g: Lowering, node: Node) -> None:
    net, writer = g.net, g.writer
    index = node.inputs[0]
    depth = int(net.constant(node, 1, "depth").ravel()[0])
    off, on = net.constant(node, 2, "values").ravel()
    axis = int(node.get("axis", -1))
    rank = net.rank(node.output)
    dtype = net.dtypes[node.output]
    axis = axis_of(axis, rank)
    made = writer.op(
        "ONE_HOT",
        [g.get(index), writer.constant(np.int32(depth)), writer.constant(on), writer.constant(off)],
        (*net.shape(index), depth), dtype=dtype, axis=-1,
    )  # fmt: skip
    order = (*(d for d in range(rank) if d != axis), axis)
    g.put(node.output, made, order)


def _cumulative(g: Lowering, node: Node) -> None:
    net = g.net
    x, rank = node.inputs[0], net.rank(node.inputs[0])
    axis = axis_of(int(net.constant(node, 1, "axis").ravel()[0]), rank)
    order = g.order(x)
    tensor = g.get(x, order)
    made = g.writer.op(
        "CUMSUM",
        [tensor, g.writer.constant(np.int32(order.index(axis)))],
        g.writer.shape(tensor),
        exclusive=bool(node.get("exclusive", 0)),
        reverse=bool(node.get("reverse", 0)),
    )
    g.put(node.output, made, order)


HANDLERS: dict[str, Handler] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "Scatter": _scatter_elements,
    "ScatterND": _scatter_nd,
    "TopK": _top_k,
    "OneHot": _one_hot,
    "CumSum": _cumulative,
}

__all__ = ["HANDLERS", "gather", "part", "tile"]
