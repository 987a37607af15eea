"""Normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Array, Node, Unsupported, axis_of


def _batch_norm(g: Lowering, node: Node) -> None:
    """A product and a sum, channel by channel; mostly these are folded into the convolution before."""
    net = g.net
    used = [o for o in node.outputs[1:] if o and (o in net.users or o in net.outputs)]
    if used:
        raise Unsupported("its running statistics are used: the model was exported in training mode")
    scale, shift = affine(g, node)
    rank = net.rank(node.inputs[0])
    wide = (-1, *(1,) * (rank - 2))
    order, (x, k, b) = g.operands(
        [node.inputs[0], net.add_constant(scale.reshape(wide)), net.add_constant(shift.reshape(wide))],
        node.output,
    )
    fused, output = g.activation(node)
    g.put(output, g.add(g.mul(x, k), b, fused), order)


def affine(g: Lowering, node: Node) -> tuple[Array, Array]:
    """Return factor and summand a channel of a BatchNormalization."""
    scale, shift, mean, variance = (g.net.constant(node, k, "parameters") for k in (1, 2, 3, 4))
    return coefficients(scale, shift, mean, variance, node)


def coefficients(scale: Array, shift: Array, mean: Array, variance: Array, node: Node) -> tuple[Array, Array]:
    """Return factor and summand a channel, float32, reckoned in float64."""
    k = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + float(node.get("epsilon", 1e-5)))
    return k.astype(np.float32), (shift - mean * k).astype(np.float32)


def normalised(g: Lowering, x: int, axes: Sequence[int], epsilon: float, centred: bool = True) -> int:
    """Return a tensor without its mean and divided by its standard deviation over axes."""
    if centred:
        mean = g.reduce("MEAN", x, axes)
        variance = g.reduce("MEAN", g.pointwise("SQUARED_DIFFERENCE", [x, mean]), axes)
        x = g.sub(x, mean)
    else:
        variance = g.reduce("MEAN", g.mul(x, x), axes)
    return g.mul(x, g.one("RSQRT", g.add(variance, g.number(epsilon))))


def _layer_norm(centred: bool) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        net = g.net
        x, rank = node.inputs[0], net.rank(node.inputs[0])
        axis = axis_of(int(node.get("axis", -1)), rank)
        if any(o and (o in net.users or o in net.outputs) for o in node.outputs[1:]):
            raise Unsupported("its mean or deviation is used")
        order = g.order(x)
        made = normalised(
            g,
            g.get(x, order),
            [order.index(d) for d in range(axis, rank)],
            float(node.get("epsilon", 1e-5)),
            centred,
        )
        made = g.mul(made, g.operand(node.inputs[1], rank, order))
        if node.input(2):
            made = g.add(made, g.operand(node.inputs[2], rank, order))
        g.put(node.output, made, order)

    return handler


def _skip_layer_norm(g: Lowering, node: Node) -> None:
    net = g.net
    if any(o and (o in net.users or o in net.outputs) for o in node.outputs[1:3]):
        raise Unsupported("its mean or deviation is used")
    rank = net.rank(node.inputs[0])
    last = layout.identity(rank)
    centred = "Simplified" not in node.op
    total = g.add(g.get(node.inputs[0], last), g.operand(node.inputs[1], rank, last))
    beta, bias = (3, 4) if centred else (9, 3)
    if node.input(bias):
        total = g.add(total, g.operand(node.inputs[bias], rank, last))
    made = normalised(g, total, [rank - 1], float(node.get("epsilon", 1e-5)), centred)
    made = g.mul(made, g.operand(node.inputs[2], rank, last))
    if node.input(beta):
        made = g.add(made, g.operand(node.inputs[beta], rank, last))
    g.put(node.output, made)
    if len(node.outputs) > 3 and node.outputs[3]:
        g.put(node.outputs[3], total)


def _per_channel(g: Lowering, node: Node, position: int, order: layout.Order) -> int:
    rank = len(order)
    values = g.net.constant(node, position, "scale")
    return g.operand(g.net.add_constant(values.reshape(-1, *(1,) * (rank - 2))), rank, order)


def _instance_norm(g: Lowering, node: Node) -> None:
    x, rank = node.inputs[0], g.net.rank(node.inputs[0])
    order = g.order(x)
    axes = [order.index(d) for d in range(2, rank)]
    made = normalised(g, g.get(x, order), axes, float(node.get("epsilon", 1e-5)))
    made = g.add(g.mul(made, _per_channel(g, node, 1, order)), _per_channel(g, node, 2, order))
    g.put(node.output, made, order)


def _group_norm(g: Lowering, node: Node) -> None:
    """Normalise groups of channels, on the tensor as it lies: (N, places, groups, channels of a group)."""
    net, writer = g.net, g.writer
    x, rank = node.inputs[0], net.rank(node.inputs[0])
    last = layout.channels_last(rank)
    tensor = g.get(x, last)
    shape = writer.shape(tensor)
    count = int(node.get("num_groups", 1))
    split = writer.reshape(tensor, (shape[0], math.prod(shape[1:-1]), count, shape[-1] // count))
    made = writer.reshape(normalised(g, split, [1, 3], float(node.get("epsilon", 1e-5))), shape)
    for position, join in ((1, g.mul), (2, g.add)):
        values = net.constant(node, position, "scale").ravel()
        if values.size != shape[-1]:
            values = np.repeat(values, shape[-1] // values.size)
        made = join(made, writer.constant(values))
    g.put(node.output, made, last)


def _lrn(g: Lowering, node: Node) -> None:
    """LOCAL_RESPONSE_NORMALIZATION: ONNX divides alpha by the size."""
    size = int(node.get("size", 1))
    if size % 2 == 0:
        raise Unsupported(f"size {size}, expected an odd one")
    last = layout.channels_last(g.net.rank(node.inputs[0]))
    tensor = g.get(node.inputs[0], last)
    shape = g.writer.shape(tensor)
    if len(shape) == 3:
        tensor = g.writer.reshape(tensor, (shape[0], 1, *shape[1:]))
    made = g.writer.op(
        "LOCAL_RESPONSE_NORMALIZATION",
        [tensor],
        g.writer.shape(tensor),
        radius=size // 2,
        bias=float(node.get("bias", 1.0)),
        alpha=float(node.get("alpha", 1e-4)) / size,
        beta=float(node.get("beta", 0.75)),
    )
    g.put(node.output, g.writer.reshape(made, shape), last)


def _lp_norm(g: Lowering, node: Node) -> None:
    x, rank = node.inputs[0], g.net.rank(node.inputs[0])
    axis, p = axis_of(int(node.get("axis", -1)), rank), int(node.get("p", 2))
    order = g.order(x)
    tensor = g.get(x, order)
    where = [order.index(axis)]
    if p == 1:
        made = g.div(tensor, g.reduce("SUM", g.one("ABS", tensor), where))
    elif where[0] == rank - 1 and rank <= 4:
        made = g.one("L2_NORMALIZATION", tensor)
    else:
        made = g.mul(tensor, g.one("RSQRT", g.reduce("SUM", g.mul(tensor, tensor), where)))
    g.put(node.output, made, order)


def _mean_variance(g: Lowering, node: Node) -> None:
    x, rank = node.inputs[0], g.net.rank(node.inputs[0])
    order = g.order(x)
    axes = [order.index(axis_of(int(a), rank)) for a in node.get("axes", [0, 2, 3])]
    g.put(node.output, normalised(g, g.get(x, order), axes, 1e-9), order)


HANDLERS: dict[str, Handler] = {
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm(True),
    "RMSNormalization": _layer_norm(False),
    "SimplifiedLayerNormalization": _layer_norm(False),
    "com.microsoft.SimplifiedLayerNormalization": _layer_norm(False),
    "com.microsoft.SkipLayerNormalization": _skip_layer_norm,
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_layer_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LRN": _lrn,
    "LpNormalization": _lp_norm,
    "MeanVarianceNormalization": _mean_variance,
}
