"""Activation functions and softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import RELU6, Handler, Lowering, clip_limits
from qedge.frontends.onnx.net import Node, Unsupported, axis_of
from qedge.frontends.onnx.ops.elementwise import formula


def _identity(g: Lowering, node: Node) -> None:
    g.alias(node.output, node.inputs[0])


def _dropout(g: Lowering, node: Node) -> None:
    if len(node.outputs) > 1 and node.outputs[1] and node.outputs[1] in g.net.users:
        raise Unsupported("its mask is used")
    g.alias(node.output, node.inputs[0])


def _simple(op: str) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        g.unary(node, op)

    return handler


def _clip(g: Lowering, node: Node) -> None:
    """Limit values: by RELU or RELU6 where that is what it does."""
    x = node.inputs[0]
    if any(i and not g.net.is_constant(i) for i in node.inputs[1:]):
        names, ops = [x], []
        for position, op in ((1, "MAXIMUM"), (2, "MINIMUM")):
            if node.input(position):
                names.append(node.input(position))
                ops.append(op)
        order, tensors = g.operands(names, node.output)
        made = tensors[0]
        for op, limit in zip(ops, tensors[1:]):
            made = g.pointwise(op, [made, limit])
        g.put(node.output, made, order)
        return
    low, high = clip_limits(g.net, node)
    order = g.order(x)
    made = g.get(x, order)
    dtype = g.writer.dtype(made)
    largest = float(np.finfo(np.float32).max)
    if dtype.kind == "f":
        low = None if low is None or low <= -largest else low
        high = None if high is None or high >= largest else high
        if low == 0.0 and high == 6.0:
            g.unary(node, "RELU6")
            return
        if low == 0.0:
            made, low = g.one("RELU", made), None
        elif low == -1.0 and high == 1.0:
            g.unary(node, "RELU_N1_TO_1")
            return
    if low is not None:
        made = g.pointwise("MAXIMUM", [made, g.writer.constant(low, dtype)])
    if high is not None:
        made = g.pointwise("MINIMUM", [made, g.writer.constant(high, dtype)])
    g.put(node.output, made, order)


def _leaky(g: Lowering, node: Node) -> None:
    g.unary(node, "LEAKY_RELU", alpha=float(node.get("alpha", 0.01)))


def _prelu(g: Lowering, node: Node) -> None:
    """PRELU; its slopes lie along the channels, as TFLite's kernels want them."""
    x, slope = node.inputs
    if not g.net.is_constant(slope):
        order, (t, s) = g.operands([x, slope], node.output)
        below = g.mul(g.sub(t, g.one("ABS", t)), g.mul(s, g.number(0.5)))
        g.put(node.output, g.add(g.one("RELU", t), below), order)
        return
    values = g.net.constants[slope]
    if values.size == 1:
        g.unary(node, "LEAKY_RELU", alpha=float(values.ravel()[0]))
        return
    rank = g.net.rank(x)
    order = g.order(x)
    if rank > 2 and values.size == g.net.shape(x)[1]:
        order = layout.channels_last(rank)
    tensor = g.get(x, order)
    slopes = values.reshape((1,) * (rank - values.ndim) + values.shape).transpose(order)
    slopes = slopes.reshape(slopes.shape[1:]) if slopes.shape[0] == 1 and rank > 1 else slopes
    made = g.writer.op("PRELU", [tensor, g.writer.constant(slopes)], g.writer.shape(tensor))
    g.put(node.output, made, order)


def _elu(g: Lowering, node: Node) -> None:
    alpha = float(node.get("alpha", 1.0))
    if alpha == 1.0:
        g.unary(node, "ELU")
        return
    formula(lambda g, x: _scaled_elu(g, x, 1.0, alpha))(g, node)


def _scaled_elu(g: Lowering, x: int, scale: float, alpha: float) -> int:
    """Return ``scale * (max(x, 0) + alpha * (exp(min(x, 0)) - 1))``."""
    above = g.one("RELU", x)
    below = g.mul(g.one("ELU", g.sub(x, above)), g.number(alpha * scale))
    if scale != 1.0:
        above = g.mul(above, g.number(scale))
    return g.add(above, below)


def _selu(g: Lowering, node: Node) -> None:
    alpha, gamma = (
        float(node.get("alpha", 1.67326319217681884765625)),
        float(node.get("gamma", 1.05070102214813232421875)),
    )
    formula(lambda g, x: _scaled_elu(g, x, gamma, alpha))(g, node)


def _celu(g: Lowering, node: Node) -> None:
    alpha = float(node.get("alpha", 1.0))

    def make(g: Lowering, x: int) -> int:
        above = g.one("RELU", x)
        below = g.one("ELU", g.mul(g.sub(x, above), g.number(1 / alpha)))
        return g.add(above, g.mul(below, g.number(alpha)))

    formula(make)(g, node)


def softplus(g: Lowering, x: int) -> int:
    """Return ``log(1 + exp(x))``, without overflow."""
    small = g.one("EXP", g.one("NEG", g.one("ABS", x)))
    return g.add(g.one("RELU", x), g.one("LOG", g.add(small, g.number(1.0))))


def _softsign(g: Lowering, x: int) -> int:
    return g.div(x, g.add(g.one("ABS", x), g.number(1.0)))


def _mish(g: Lowering, x: int) -> int:
    return g.mul(x, g.one("TANH", softplus(g, x)))


def _hard_sigmoid(g: Lowering, node: Node) -> None:
    """``max(0, min(1, alpha x + beta))`` as RELU6 of a scaled input: two operators that every target has."""
    alpha, beta = float(node.get("alpha", 0.2)), float(node.get("beta", 0.5))

    def make(g: Lowering, x: int) -> int:
        scaled = x if abs(alpha - 1 / 6) < 1e-7 else g.mul(x, g.number(6 * alpha))
        return g.mul(g.add(scaled, g.number(6 * beta), RELU6), g.number(1 / 6))

    formula(make)(g, node)


def _swish(g: Lowering, node: Node) -> None:
    alpha = float(node.get("alpha", 1.0))

    def make(g: Lowering, x: int) -> int:
        inner = x if alpha == 1.0 else g.mul(x, g.number(alpha))
        return g.mul(x, g.one("LOGISTIC", inner))

    formula(make)(g, node)


def _gelu(g: Lowering, node: Node) -> None:
    g.unary(node, "GELU", approximate=node.get("approximate", "none") == "tanh")


def _fast_gelu(g: Lowering, node: Node) -> None:
    if node.input(1):
        order, (x, bias) = g.operands(node.inputs[:2], node.output)
        total = g.add(x, bias)
    else:
        order = g.order(node.inputs[0])
        total = g.get(node.inputs[0], order)
    approximate = node.op.endswith("FastGelu")
    g.put(node.output, g.one("GELU", total, approximate=approximate), order)


def _quick_gelu(g: Lowering, node: Node) -> None:
    alpha = float(node.get("alpha", 1.702))
    formula(lambda g, x: g.mul(x, g.one("LOGISTIC", g.mul(x, g.number(alpha)))))(g, node)


def _thresholded(g: Lowering, node: Node) -> None:
    alpha = float(node.get("alpha", 1.0))

    def make(g: Lowering, x: int) -> int:
        above = g.pointwise("GREATER", [x, g.number(alpha)], dtype=np.bool_)
        return g.pointwise("SELECT_V2", [above, x, g.number(0.0)], dtype=np.float32)

    formula(make)(g, node)


def _shrink(g: Lowering, node: Node) -> None:
    limit, bias = float(node.get("lambd", 0.5)), float(node.get("bias", 0.0))

    def make(g: Lowering, x: int) -> int:
        above = g.pointwise("GREATER", [x, g.number(limit)], dtype=np.bool_)
        below = g.pointwise("LESS", [x, g.number(-limit)], dtype=np.bool_)
        up, down = (x, x) if bias == 0 else (g.sub(x, g.number(bias)), g.add(x, g.number(bias)))
        rest = g.pointwise("SELECT_V2", [below, down, g.number(0.0)], dtype=np.float32)
        return g.pointwise("SELECT_V2", [above, up, rest], dtype=np.float32)

    formula(make)(g, node)


def _softmax(op: str) -> Handler:
    fields: dict[str, Any] = {"beta": 1.0} if op == "SOFTMAX" else {}

    def handler(g: Lowering, node: Node) -> None:
        net, writer = g.net, g.writer
        x = node.inputs[0]
        shape, rank = net.shape(x), net.rank(x)
        if rank == 0:
            raise Unsupported("a softmax of a single number")
        axis = axis_of(int(node.get("axis", -1 if net.opset >= 13 else 1)), rank)
        if net.opset < 13 and math.prod(shape[axis + 1 :]) != 1:  # older ones flatten all from the axis on
            flat = writer.reshape(g.get(x), (math.prod(shape[:axis]), math.prod(shape[axis:])))
            made = writer.op(op, [flat], writer.shape(flat), **fields)
            g.put(node.output, writer.reshape(made, shape))
            return
        order = g.order(x)
        if order[-1] != axis:
            free = [o for o in g.places[x] if o[-1] == axis]
            order = free[0] if free else (*(d for d in order if d != axis), axis)
        tensor = g.get(x, order)
        sizes = writer.shape(tensor)
        if len(sizes) > 4:
            tensor = writer.reshape(tensor, (math.prod(sizes[:-1]), sizes[-1]))
        made = writer.op(op, [tensor], writer.shape(tensor), **fields)
        g.put(node.output, writer.reshape(made, sizes), order)

    return handler


def _hardmax(g: Lowering, node: Node) -> None:
    net, writer = g.net, g.writer
    x, rank = node.inputs[0], net.rank(node.inputs[0])
    axis = axis_of(int(node.get("axis", -1 if net.opset >= 13 else 1)), rank)
    if net.opset < 13 and math.prod(net.shape(x)[axis + 1 :]) != 1:
        raise Unsupported("it flattens its input (opset below 13)")
    order = (*(d for d in g.order(x) if d != axis), axis)
    tensor = g.get(x, order)
    shape = writer.shape(tensor)
    best = writer.op(
        "ARG_MAX",
        [tensor, g.integers([len(shape) - 1])],
        shape[:-1],
        dtype=np.int32,
        output_type="INT32",
    )
    made = writer.op(
        "ONE_HOT",
        [best, writer.constant(np.int32(shape[-1])), g.number(1.0), g.number(0.0)],
        shape, dtype=np.float32, axis=-1,
    )  # fmt: skip
    g.put(node.output, made, order)


HANDLERS: dict[str, Handler] = {
    "Identity": _identity,
    "Dropout": _dropout,
    "Relu": _simple("RELU"),
    "Relu6": _simple("RELU6"),
    "Sigmoid": _simple("LOGISTIC"),
    "Tanh": _simple("TANH"),
    "HardSwish": _simple("HARD_SWISH"),
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "Softplus": formula(softplus),
    "Softsign": formula(_softsign),
    "Mish": formula(_mish),
    "HardSigmoid": _hard_sigmoid,
    "Swish": _swish,
    "Gelu": _gelu,
    "com.microsoft.Gelu": _gelu,
    "com.microsoft.FastGelu": _fast_gelu,
    "com.microsoft.BiasGelu": _fast_gelu,
    "com.microsoft.QuickGelu": _quick_gelu,
    "ThresholdedRelu": _thresholded,
    "Shrink": _shrink,
    "Softmax": _softmax("SOFTMAX"),
    "LogSoftmax": _softmax("LOG_SOFTMAX"),
    "Hardmax": _hardmax,
}
