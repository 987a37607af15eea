"""Matrix products."""

from __future__ import annotations

import math

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import NONE, Handler, Lowering
from qedge.frontends.onnx.net import Array, Node, Unsupported


def dense(g: Lowering, x: int, weights: Array, bias: Array | None, fused: int = NONE) -> int:
    """Return ``x`` times weights, ``(..., in)`` to ``(..., out)``.

    One row is a FULLY_CONNECTED; several are a 1x1 CONV_2D, which runs on the Edge TPU where the other does not.

    Args:
        weights: float32 (out, in).
        bias: float32 (out,), or None.
    """
    writer = g.writer
    shape = writer.shape(x)
    rows = math.prod(shape[:-1])
    bias = np.zeros(weights.shape[0], np.float32) if bias is None else bias
    result = (*shape[:-1], weights.shape[0])
    constants = [writer.constant(bias.astype(np.float32))]
    if rows == 1:
        flat = writer.reshape(x, (1, shape[-1]))
        made = writer.op(
            "FULLY_CONNECTED",
            [flat, writer.constant(weights.astype(np.float32)), *constants],
            (1, weights.shape[0]),
            fused_activation_function=fused,
        )
    else:
        flat = writer.reshape(x, (1, 1, rows, shape[-1]))
        kernel = weights.astype(np.float32).reshape(weights.shape[0], 1, 1, weights.shape[1])
        made = writer.op(
            "CONV_2D",
            [flat, writer.constant(kernel), *constants],
            (1, 1, rows, weights.shape[0]),
            padding=1,
            stride_h=1,
            stride_w=1,
            dilation_h_factor=1,
            dilation_w_factor=1,
            fused_activation_function=fused,
        )
    return writer.reshape(made, result)


def _columns(g: Lowering, name: str, weights: Array) -> tuple[int, Array] | None:
    """Return a flattened image as it lies and weights whose columns follow it, None where it must not be so."""
    if name not in g.columns or g.has_place(name):
        return None
    tensor, index = g.columns[name]
    return tensor, weights[:, index]


def _gemm(g: Lowering, node: Node) -> None:
    net = g.net
    x, w = node.inputs[:2]
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    if not net.is_constant(w) or (net.is_constant(x)):
        _gemm_of_values(g, node, alpha, beta)
        return
    weights = net.constants[w].astype(np.float32)
    weights = (weights if node.get("transB", 0) else weights.T) * np.float32(alpha)
    bias, extra = None, ""
    if node.input(2):
        name = node.inputs[2]
        fits = net.is_constant(name) and net.constants[name].size in (1, weights.shape[0])
        if fits:
            bias = np.broadcast_to(net.constants[name].ravel() * np.float32(beta), (weights.shape[0],))
        else:
            extra = name
    fused, output = (NONE, node.output) if extra else g.activation(node)
    laid = None if node.get("transA", 0) else _columns(g, x, weights)
    if laid is not None:
        made = dense(g, laid[0], laid[1], bias, fused)
    else:
        made = dense(g, g.get(x, (1, 0) if node.get("transA", 0) else None), weights, bias, fused)
    if extra:
        made = _plus(g, node, made, extra, beta)
    g.put(output, made)


def _plus(g: Lowering, node: Node, made: int, name: str, beta: float) -> int:
    c = g.operand(name, 2, (0, 1))
    return g.add(made, c if beta == 1.0 else g.mul(c, g.number(beta)))


def _gemm_of_values(g: Lowering, node: Node, alpha: float, beta: float) -> None:
    a, b = node.inputs[:2]
    made = product(g, g.get(a), g.get(b), bool(node.get("transA", 0)), bool(node.get("transB", 0)))
    if alpha != 1.0:
        made = g.mul(made, g.number(alpha))
    if node.input(2):
        made = _plus(g, node, made, node.inputs[2], beta)
    g.put(node.output, made)


def product(g: Lowering, a: int, b: int, turned_a: bool = False, turned_b: bool = False) -> int:
    """Return BATCH_MATMUL of two tensors of at least two dimensions."""
    writer = g.writer
    left, right = writer.shape(a), writer.shape(b)
    rows = left[-1] if turned_a else left[-2]
    columns = right[-2] if turned_b else right[-1]
    batch = tuple(int(d) for d in np.broadcast_shapes(left[:-2], right[:-2]))
    result = (*batch, rows, columns)
    if len(result) > 4 or len(left) != len(right):
        a, b = _joined(g, a, batch), _joined(g, b, batch)
        batch = (math.prod(batch),)
    made = writer.op(
        "BATCH_MATMUL",
        [a, b],
        (*batch, rows, columns),
        adj_x=turned_a,
        adj_y=turned_b,
    )
    return writer.reshape(made, result)


def _joined(g: Lowering, tensor: int, batch: tuple[int, ...]) -> int:
    """Return a tensor with its leading dimensions joined to one: all of them, or 1."""
    shape = g.writer.shape(tensor)
    own = shape[:-2]
    count, total = math.prod(own), math.prod(batch)
    if count not in (1, total):
        from qedge.frontends.onnx.ops.move import tile

        padded = (1,) * (len(batch) - len(own)) + own
        tensor = tile(g, g.writer.reshape(tensor, (*padded, *shape[-2:])), (*batch, *shape[-2:]))
        count = total
    return g.writer.reshape(tensor, (count, *shape[-2:]))


def _matmul(g: Lowering, node: Node) -> None:
    net = g.net
    a, b = node.inputs[:2]
    if net.rank(a) == 0 or net.rank(b) == 0:
        raise Unsupported("a product with a single number")
    constant = net.constants.get(b)
    if constant is not None and net.rank(a) >= constant.ndim > 2 and math.prod(constant.shape[:-2]) == 1:
        constant = constant.reshape(constant.shape[-2:])
    if constant is not None and constant.ndim == 1:
        constant = constant[:, None]
    if constant is not None and constant.ndim == 2 and not net.is_constant(a):
        _times_weights(g, node, constant)
        return
    rank_a, rank_b = net.rank(a), net.rank(b)
    if rank_a == 1 or rank_b == 1:
        left = g.writer.reshape(g.get(a), (1, *net.shape(a))) if rank_a == 1 else g.get(a)
        right = g.writer.reshape(g.get(b), (*net.shape(b), 1)) if rank_b == 1 else g.get(b)
        made = product(g, left, right)
        g.put(node.output, g.writer.reshape(made, net.shape(node.output)))
        return
    (left, turned_a), (right, turned_b) = _side(g, a), _side(g, b)
    g.put(node.output, product(g, left, right, turned_a, turned_b))


def _side(g: Lowering, name: str) -> tuple[int, bool]:
    """Return an operand and whether it lies with its last two dimensions exchanged."""
    rank = g.net.rank(name)
    plain = layout.identity(rank)
    swapped = (*plain[:-2], rank - 1, rank - 2)
    if not g.has(name, plain) and g.has(name, swapped):
        return g.get(name, swapped), True
    return g.get(name, plain), False


def _times_weights(g: Lowering, node: Node, weights: Array) -> None:
    net = g.net
    x = node.inputs[0]
    rank = net.rank(x)
    matrix = np.ascontiguousarray(weights.T)
    bias, output = None, node.output
    user = net.sole_user(output, "Add")
    if user is not None:
        other = next((i for i in user.inputs if i != output), output)
        if (
            net.is_constant(other)
            and net.constants[other].size == matrix.shape[0]
            and (net.shape(user.output) == net.shape(output) and net.shape(other)[-1:] == (matrix.shape[0],))
        ):
            bias = net.constants[other].ravel()
            g.skip(user)
            node = user
    fused, output = g.activation(node)
    laid = _columns(g, x, matrix)
    if laid is not None:
        g.put(output, g.writer.reshape(dense(g, laid[0], laid[1], bias, fused), net.shape(output)))
        return
    order = g.order(x)
    if order[-1] != rank - 1:
        order = next((o for o in g.places[x] if o[-1] == rank - 1), layout.identity(rank))
    made = dense(g, g.get(x, order), matrix, bias, fused)
    if net.rank(output) == rank:
        g.put(output, made, order)
    else:  # weights of one dimension
        g.put(output, g.writer.reshape(made, layout.arranged(net.shape(output), order[:-1])), order[:-1])


def _fused_matmul(g: Lowering, node: Node) -> None:
    alpha = float(node.get("alpha", 1.0))
    if node.get("transBatchA", 0) or node.get("transBatchB", 0):
        raise Unsupported("turned batches")
    a, b = node.inputs[:2]
    made = product(g, g.get(a), g.get(b), bool(node.get("transA", 0)), bool(node.get("transB", 0)))
    g.put(node.output, made if alpha == 1.0 else g.mul(made, g.number(alpha)))


def _einsum(g: Lowering, node: Node) -> None:
    raise Unsupported(
        f"the equation {node.get('equation')!r} does not fit its values"
    )  # others are written out


HANDLERS: dict[str, Handler] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "com.microsoft.FusedMatMul": _fused_matmul,
}
