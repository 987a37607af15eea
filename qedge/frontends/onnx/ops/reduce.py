"""Reductions, and the positions of largest values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Node, Unsupported, axis_of


def _reduction(
    op: str,
    before: Callable[[Lowering, int], int] | None = None,
    after: Callable[[Lowering, int], int] | None = None,
) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        net = g.net
        x, rank = node.inputs[0], net.rank(node.inputs[0])
        stated = net.integers(node, 1, "axes")
        if not stated and node.get("noop_with_empty_axes", 0):
            g.alias(node.output, x)
            return
        axes = sorted({axis_of(a, rank) for a in stated}) if stated else list(range(rank))
        keep = bool(node.get("keepdims", 1))
        order = g.order(x)
        tensor = g.get(x, order)
        result = order if keep else layout.without(order, axes)
        if before is not None:
            tensor = before(g, tensor)
        made = g.reduce(op, tensor, [order.index(a) for a in axes], keep) if axes else tensor
        if after is not None:
            made = after(g, made)
        g.put(node.output, made, result)

    return handler


def _square(g: Lowering, x: int) -> int:
    return g.mul(x, x)


def _root(g: Lowering, x: int) -> int:
    return g.one("SQRT", x)


def _absolute(g: Lowering, x: int) -> int:
    return g.one("ABS", x)


def _exponential(g: Lowering, x: int) -> int:
    return g.one("EXP", x)


def _logarithm(g: Lowering, x: int) -> int:
    return g.one("LOG", x)


def _log_sum_exp(g: Lowering, node: Node) -> None:
    """Without overflow: the largest value is taken off before, and added after."""
    net = g.net
    x, rank = node.inputs[0], net.rank(node.inputs[0])
    stated = net.integers(node, 1, "axes")
    axes = sorted({axis_of(a, rank) for a in stated}) if stated else list(range(rank))
    order = g.order(x)
    tensor = g.get(x, order)
    where = [order.index(a) for a in axes]
    top = g.reduce("REDUCE_MAX", tensor, where)
    total = g.reduce("SUM", _exponential(g, g.sub(tensor, top)), where)
    made = g.add(_logarithm(g, total), top)
    if not node.get("keepdims", 1):
        order = layout.without(order, axes)
        made = g.writer.reshape(made, layout.arranged(net.shape(node.output), order))
    g.put(node.output, made, order)


def _position(op: str) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        net = g.net
        if node.get("select_last_index", 0):
            raise Unsupported("select_last_index: TFLite gives the first of equal values")
        x, rank = node.inputs[0], net.rank(node.inputs[0])
        axis = axis_of(int(node.get("axis", 0)), rank)
        order = g.order(x)
        tensor = g.get(x, order)
        shape = [s for d, s in enumerate(g.writer.shape(tensor)) if d != order.index(axis)]
        made = g.writer.op(
            op, [tensor, g.integers([order.index(axis)])], shape, dtype=np.int32, output_type="INT32"
        )  # 2: INT32 of the schema
        if node.get("keepdims", 1):
            made = g.writer.reshape(made, layout.arranged(net.shape(node.output), order))
        else:
            order = layout.without(order, [axis])
        g.put(node.output, made, order)

    return handler


HANDLERS: dict[str, Handler] = {
    "ReduceMean": _reduction("MEAN"),
    "ReduceSum": _reduction("SUM"),
    "ReduceMax": _reduction("REDUCE_MAX"),
    "ReduceMin": _reduction("REDUCE_MIN"),
    "ReduceProd": _reduction("REDUCE_PROD"),
    "ReduceL1": _reduction("SUM", before=_absolute),
    "ReduceL2": _reduction("SUM", before=_square, after=_root),
    "ReduceSumSquare": _reduction("SUM", before=_square),
    "ReduceLogSum": _reduction("SUM", after=_logarithm),
    "ReduceLogSumExp": _log_sum_exp,
    "ArgMax": _position("ARG_MAX"),
    "ArgMin": _position("ARG_MIN"),
}
