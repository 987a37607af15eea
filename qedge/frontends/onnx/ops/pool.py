"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Array, Node, Unsupported
from qedge.frontends.onnx.ops.convolution import SAME, VALID, Window, image, padded, put_image, window

_LEAST = {
    "Relu": 0.0, "Relu6": 0.0, "Sigmoid": 0.0, "Softmax": 0.0, "HardSigmoid": 0.0, "Softplus": 0.0, "Exp": 0.0,
    "Abs": 0.0, "Tanh": -1.0, "HardSwish": -0.375, "Elu": -1.0, "Gelu": -0.171, "Mish": -0.309, "Swish": -0.2785,
}  # fmt: skip
_KEEPS_LEAST = {
    "MaxPool",
    "Identity",
    "Dropout",
    "Concat",
    "Slice",
    "Reshape",
    "Transpose",
    "Resize",
    "Split",
}


def least(g: Lowering, name: str, depth: int = 16) -> float | None:
    """Return a number that a value never falls below, None where none is known."""
    node = g.net.makers.get(name)
    if node is None or depth == 0:
        return None
    if node.op in _LEAST:
        return _LEAST[node.op]
    if node.op == "Clip":
        return g.net.scalar(node, 1, "min") if not node.input(1) or g.net.is_constant(node.input(1)) else None
    if node.op == "Mul" and len(node.inputs) == 2:  # x * sigmoid(x)
        for a, b in (node.inputs, node.inputs[::-1]):
            gate = g.net.makers.get(b)
            if gate is not None and gate.op == "Sigmoid" and gate.inputs == [a]:
                return -0.2785
    if node.op in ("Add", "Concat"):
        found = [least(g, n, depth - 1) for n in node.inputs]
        if any(f is None for f in found):
            return None
        known = [f for f in found if f is not None]
        return sum(known) if node.op == "Add" else min(known)
    if node.op in _KEEPS_LEAST:
        return least(g, node.inputs[0], depth - 1)
    return None


def _pool(g: Lowering, op: str, x: int, w: Window, code: int) -> int:
    writer = g.writer
    n, _, _, channels = writer.shape(x)
    return writer.op(
        op,
        [x],
        (n, *w.result, channels),
        padding=code,
        stride_h=w.stride[0],
        stride_w=w.stride[1],
        filter_height=w.size[0],
        filter_width=w.size[1],
    )


def _max_pool(g: Lowering, node: Node) -> None:
    """MAX_POOL_2D. Padding that TFLite has not is made of numbers that never win: the least possible, or the edge."""
    if len(node.outputs) > 1 and node.outputs[1] and node.outputs[1] in g.net.users:
        raise Unsupported("the positions that it found are used")
    w = window(g, node, node.get("kernel_shape", []), g.net.shape(node.output)[2:])
    x = image(g, node.inputs[0])
    if w.dilation != (1, 1):
        put_image(g, node.output, _dilated(g, node, x, w))
        return
    code = w.code
    if code is None:
        x, code = _padded_with_least(g, node.inputs[0], x, w), VALID
    put_image(g, node.output, _pool(g, "MAX_POOL_2D", x, w, code))


def _padded_with_least(g: Lowering, name: str, x: int, w: Window) -> int:
    low = least(g, name)
    if low is not None and low >= 0:
        return padded(g, x, w.before, w.after)
    writer = g.writer
    if low is not None:
        pads = np.array([[0, 0], *zip(w.before, w.after), [0, 0]], np.int32)
        shape = [s + int(p.sum()) for s, p in zip(writer.shape(x), pads)]
        return writer.op("PADV2", [x, writer.constant(pads), g.number(low)], shape)
    before, after = list(w.before), list(w.after)
    while any(before) or any(after):  # a row or column next to its copy never changes a maximum
        pads = np.array([[0, 0], *((min(b, 1), min(a, 1)) for b, a in zip(before, after)), [0, 0]], np.int32)
        shape = [s + int(p.sum()) for s, p in zip(writer.shape(x), pads)]
        x = writer.op("MIRROR_PAD", [x, writer.constant(pads)], shape, mode=1)
        before, after = [max(b - 1, 0) for b in before], [max(a - 1, 0) for a in after]
    return x


def _dilated(g: Lowering, node: Node, x: int, w: Window) -> int:
    """Return a dilated maximum as a chain of MAXIMUM over shifted slices."""
    if w.before != (0, 0) or w.after != (0, 0):
        x = _padded_with_least(g, node.inputs[0], x, w)
    writer = g.writer
    n, _, _, channels = writer.shape(x)
    made = None
    for i in range(w.size[0]):
        for j in range(w.size[1]):
            begin = (0, i * w.dilation[0], j * w.dilation[1], 0)
            span = [(o - 1) * s + 1 for o, s in zip(w.result, w.stride)]
            part = g.slice(x, begin, (n, span[0], span[1], channels))
            if w.stride != (1, 1):
                part = writer.op(
                    "STRIDED_SLICE",
                    [
                        part,
                        g.integers([0] * 4),
                        g.integers([n, *span, channels]),
                        g.integers([1, *w.stride, 1]),
                    ],
                    (n, *w.result, channels),
                )
            made = part if made is None else g.pointwise("MAXIMUM", [made, part])
    assert made is not None
    return made


def _average_pool(g: Lowering, node: Node) -> None:
    """AVERAGE_POOL_2D; where ONNX divides by another count than TFLite, a constant puts that right."""
    w = window(g, node, node.get("kernel_shape", []), g.net.shape(node.output)[2:])
    if w.dilation != (1, 1):
        raise Unsupported("a dilated average")
    x = image(g, node.inputs[0])
    code = w.code
    includes = bool(node.get("count_include_pad", 0))
    if code == VALID or (code == SAME and not includes):
        put_image(g, node.output, _pool(g, "AVERAGE_POOL_2D", x, w, code))
        return
    made = _pool(g, "AVERAGE_POOL_2D", padded(g, x, w.before, w.after), w, VALID)
    factor = _correction(g, node, w)
    if not np.allclose(factor, 1.0):
        made = g.mul(made, g.writer.constant(factor.reshape(1, *w.result, 1)))
    put_image(g, node.output, made)


def _correction(g: Lowering, node: Node, w: Window) -> Array:
    """Return the size of the whole window over the count that ONNX divides by, at every place.

    A window that reaches beyond the stated padding (``ceil_mode``) counts no more than that padding.
    """
    includes = bool(node.get("count_include_pad", 0))
    counts = []
    rank = g.net.rank(node.inputs[0]) - 2
    pads = [int(v) for v in node.get("pads", [0] * (2 * rank))]
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        stated = w.after
    else:
        stated = (0, pads[-1]) if rank == 1 else (pads[2], pads[3])
    for a in (0, 1):
        first, last = (-w.before[a], w.source[a] + stated[a]) if includes else (0, w.source[a])
        begin = np.arange(w.result[a]) * w.stride[a] - w.before[a]
        end = np.minimum(begin + w.size[a], last)
        counts.append(end - np.maximum(begin, first))
    area: Any = np.outer(*counts)
    return np.asarray(w.size[0] * w.size[1] / np.maximum(area, 1), np.float32)


def _global(op: str) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        x = node.inputs[0]
        order = g.order(x)
        tensor = g.get(x, order)
        axes = [order.index(d) for d in range(2, g.net.rank(x))]
        g.put(node.output, g.reduce(op, tensor, axes), order)

    return handler


HANDLERS: dict[str, Handler] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global("MEAN"),
    "GlobalMaxPool": _global("REDUCE_MAX"),
}
