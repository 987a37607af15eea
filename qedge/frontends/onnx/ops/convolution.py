"""Convolutions: one- and two-dimensional, grouped, dilated, transposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import NONE, RELU, Handler, Lowering
from qedge.frontends.onnx.net import Array, Node, Unsupported

SAME, VALID = 0, 1
"""Padding of TFLite's schema."""


@dataclass(frozen=True)
class Window:
    """How a window slides: two-dimensional always, height first; a one-dimensional one has height 1.

    Args:
        size: as stored, without dilation.
        before, after: zeros or other padding on each side.
        source, result: sizes of the input without padding, and of the output.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    source: tuple[int, int]
    result: tuple[int, int]

    @property
    def reach(self) -> tuple[int, int]:
        """Size with dilation."""
        return (self.dilation[0] * (self.size[0] - 1) + 1, self.dilation[1] * (self.size[1] - 1) + 1)

    @property
    def code(self) -> int | None:
        """TFLite's padding that does the same, None where the input must be padded before."""
        if self.before == (0, 0) == self.after and all(
            (s - r) // t + 1 == o for s, r, t, o in zip(self.source, self.reach, self.stride, self.result)
        ):
            return VALID
        for axis in (0, 1):
            source, stride, reach = self.source[axis], self.stride[axis], self.reach[axis]
            result = -(-source // stride)
            total = max(0, (result - 1) * stride + reach - source)
            if result != self.result[axis] or self.before[axis] != total // 2:
                return None
            if self.after[axis] < total - total // 2:
                return None
        return SAME


def pair(values: Sequence[int], rank: int) -> tuple[int, int]:
    """Return two numbers of one or two; a one-dimensional operator has a height of 1 (or padding 0)."""
    return (int(values[0]), int(values[1])) if rank == 2 else (1, int(values[0]))


def window(g: Lowering, node: Node, size: Sequence[int], result: Sequence[int]) -> Window:
    """Return the window of a Conv or pooling node; ``auto_pad`` and ``ceil_mode`` become explicit padding.

    Raises:
        Unsupported: not of one or two spatial dimensions.
    """
    source = g.net.shape(node.inputs[0])[2:]
    rank = len(source)
    if rank not in (1, 2):
        raise Unsupported(f"{rank} spatial dimensions, expected 1 or 2")
    stride = [int(v) for v in node.get("strides", [1] * rank)]
    dilation = [int(v) for v in node.get("dilations", [1] * rank)]
    pads = [int(v) for v in node.get("pads", [0] * (2 * rank))]
    automatic = node.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * (2 * rank)
        for a in range(rank):
            reach = dilation[a] * (size[a] - 1) + 1
            total = max(0, (result[a] - 1) * stride[a] + reach - source[a])
            less = total // 2
            pads[a], pads[rank + a] = (
                (less, total - less) if automatic == "SAME_UPPER" else (total - less, less)
            )
    elif automatic == "VALID":
        pads = [0] * (2 * rank)
    for a in range(rank):  # with ceil_mode the last window may reach beyond the padding
        reach = dilation[a] * (size[a] - 1) + 1
        need = (result[a] - 1) * stride[a] + reach - source[a] - pads[a]
        if node.get("ceil_mode", 0):
            pads[rank + a] = max(need, 0)
    zero = (pads[:rank], pads[rank:])
    before, after = ((0, int(p[0])) if rank == 1 else (int(p[0]), int(p[1])) for p in zero)
    return Window(
        pair(size, rank), pair(stride, rank), pair(dilation, rank), before, after, pair(source, rank),
        pair(result, rank),
    )  # fmt: skip


def image(g: Lowering, name: str) -> int:
    """Return a value of rank 3 or 4 as NHWC; a one-dimensional one has height 1."""
    rank = g.net.rank(name)
    tensor = g.get(name, layout.channels_last(rank))
    if rank == 3:
        n, length, channels = g.writer.shape(tensor)
        tensor = g.writer.reshape(tensor, (n, 1, length, channels))
    return tensor


def put_image(g: Lowering, name: str, tensor: int) -> None:
    """Say that an NHWC tensor holds a value of rank 3 or 4."""
    rank = g.net.rank(name)
    order = layout.channels_last(rank)
    g.put(name, g.writer.reshape(tensor, layout.arranged(g.net.shape(name), order)), order)


def image_shape(g: Lowering, name: str) -> tuple[int, ...]:
    """Return the NHWC shape of a value of rank 3 or 4."""
    shape = g.net.shape(name)
    if len(shape) == 3:
        return (shape[0], 1, shape[2], shape[1])
    return (shape[0], shape[2], shape[3], shape[1])


def padded(g: Lowering, tensor: int, before: Sequence[int], after: Sequence[int]) -> int:
    """Return an NHWC tensor with zeros around it."""
    if not any(before) and not any(after):
        return tensor
    pads = [[0, 0], [before[0], after[0]], [before[1], after[1]], [0, 0]]
    shape = [s + a + b for s, (a, b) in zip(g.writer.shape(tensor), pads)]
    return g.writer.op("PAD", [tensor, g.writer.constant(np.array(pads, np.int32))], shape)


def _pointwise(g: Lowering, node: Node, kernel: Array) -> bool:
    """Lower a 1x1 convolution whose input already has its channels last, whatever order the others have."""
    x = node.inputs[0]
    order = g.order(x)
    plain = kernel.shape[2:] == (1, 1) and all(
        v == d for name, d in (("strides", 1), ("dilations", 1), ("pads", 0)) for v in node.get(name, [d])
    )
    if not plain or order[-1] != 1 or order[0] != 0 or order == layout.channels_last(4):
        return False
    if node.get("group", 1) != 1 or any(order in g.places[x] for order in (layout.channels_last(4),)):
        return False
    bias = g.net.optional(node, 2, "bias")
    fused, output = g.activation(node)
    made = _dense(g, g.get(x, order), kernel, bias, NONE if fused is None else fused, VALID, None)
    g.put(output, made, order)
    return True


def _dense(
    g: Lowering, x: int, kernel: Array, bias: Array | None, fused: int, code: int, w: Window | None
) -> int:
    """Return a CONV_2D with a kernel in ONNX's order (out, in, height, width)."""
    writer = g.writer
    shape = writer.shape(x)
    rows, columns = w.result if w is not None else shape[1:3]
    stride, dilation = (w.stride, w.dilation) if w is not None else ((1, 1), (1, 1))
    if bias is None:
        bias = np.zeros(kernel.shape[0], np.float32)
    return writer.op(
        "CONV_2D",
        [x, writer.constant(kernel.transpose(0, 2, 3, 1)), writer.constant(bias)],
        (shape[0], rows, columns, kernel.shape[0]),
        padding=code,
        stride_h=stride[0],
        stride_w=stride[1],
        dilation_h_factor=dilation[0],
        dilation_w_factor=dilation[1],
        fused_activation_function=fused,
    )


def _conv(g: Lowering, node: Node) -> None:
    net, writer = g.net, g.writer
    if net.rank(node.inputs[0]) == 5:
        raise Unsupported("3 spatial dimensions, expected 1 or 2")
    kernel = net.constant(node, 1, "kernel")
    bias = net.optional(node, 2, "bias")
    if kernel.ndim == 4 and _pointwise(g, node, kernel):
        return
    w = window(g, node, kernel.shape[2:], net.shape(node.output)[2:])
    if kernel.ndim == 3:
        kernel = kernel[:, :, None]
    fused, output = g.activation(node)
    x = image(g, node.inputs[0])
    code = w.code
    if code is None:
        x, code = padded(g, x, w.before, w.after), VALID
    groups, channels = int(node.get("group", 1)), writer.shape(x)[3]
    if groups == 1:
        made = _dense(g, x, kernel, bias, fused, code, w)
    elif groups == channels:
        if bias is None:
            bias = np.zeros(kernel.shape[0], np.float32)
        made = writer.op(
            "DEPTHWISE_CONV_2D",
            [x, writer.constant(kernel.transpose(1, 2, 3, 0)), writer.constant(bias)],
            (writer.shape(x)[0], *w.result, kernel.shape[0]),
            padding=code,
            stride_h=w.stride[0],
            stride_w=w.stride[1],
            depth_multiplier=kernel.shape[0] // groups,
            dilation_h_factor=w.dilation[0],
            dilation_w_factor=w.dilation[1],
            fused_activation_function=fused,
        )
    else:
        part = [*writer.shape(x)[:3], channels // groups]
        parts = writer.ops("SPLIT", [g.integers([3]), x], [part] * groups, writer.dtype(x), num_splits=groups)
        kernels = np.split(kernel, groups)
        biases = np.split(bias, groups) if bias is not None else [None] * groups
        done = [_dense(g, p, k, b, fused, code, w) for p, k, b in zip(parts, kernels, biases)]
        made = g.concat(done, 3)
    put_image(g, output, made)


def _transposed(g: Lowering, node: Node) -> None:
    """TRANSPOSE_CONV without padding, cut to the result; what ``output_padding`` adds is padded before that."""
    net, writer = g.net, g.writer
    kernel = net.constant(node, 1, "kernel")
    bias = net.optional(node, 2, "bias")
    rank = kernel.ndim - 2
    if rank not in (1, 2):
        raise Unsupported(f"{rank} spatial dimensions, expected 1 or 2")
    if any(int(d) != 1 for d in node.get("dilations", [1])):
        kernel = _spread(kernel, [int(d) for d in node.get("dilations")])
    if rank == 1:
        kernel = kernel[:, :, None]
    groups = int(node.get("group", 1))
    stride = pair([int(v) for v in node.get("strides", [1] * rank)], rank)
    x = image(g, node.inputs[0])
    shape, result = writer.shape(x), image_shape(g, node.output)
    source = shape[1:3]
    full = [(source[a] - 1) * stride[a] + kernel.shape[2 + a] for a in (0, 1)]
    begin = _cut_before(node, rank, full, result[1:3])
    fused, output = g.activation(node)
    per = kernel.shape[1]
    if groups == 1:
        parts = [x]
    else:
        part = [*shape[:3], shape[3] // groups]
        parts = writer.ops("SPLIT", [g.integers([3]), x], [part] * groups, writer.dtype(x), num_splits=groups)
    made = []
    for k, piece in enumerate(parts):
        weights = np.split(kernel, groups)[k].transpose(1, 2, 3, 0)
        some = np.zeros(per, np.float32) if bias is None else bias[k * per : (k + 1) * per]
        target = (shape[0], full[0], full[1], per)
        done = writer.op(
            "TRANSPOSE_CONV",
            [g.integers(target), writer.constant(weights), piece, writer.constant(some)],
            target,
            np.float32,
            version=3,
            padding=VALID,
            stride_h=stride[0],
            stride_w=stride[1],
        )
        made.append(_cut(g, done, begin, result[1:3], some))
    tensor = g.concat(made, 3)
    if fused:
        tensor = g.one("RELU" if fused == RELU else "RELU6", tensor)
    put_image(g, output, tensor)


def _spread(kernel: Array, dilations: Sequence[int]) -> Array:
    """Return a kernel with the zeros of its dilation written out."""
    sizes = [(k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilations)]
    wide = np.zeros((*kernel.shape[:2], *sizes), kernel.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = kernel
    return wide


def _cut_before(node: Node, rank: int, full: Sequence[int], result: Sequence[int]) -> list[int]:
    """Return how much of an unpadded transposed convolution is cut in front, along height and width."""
    automatic = node.get("auto_pad", "NOTSET")
    pads = [int(v) for v in node.get("pads", [0] * (2 * rank))]
    extra = [int(v) for v in node.get("output_padding", [0] * rank)]
    begin = []
    for a in range(2):
        k = a - (2 - rank)
        if k < 0:
            begin.append(0)
        elif automatic in ("SAME_UPPER", "SAME_LOWER") or node.get("output_shape"):
            total = full[a] + extra[k] - result[a]
            begin.append(total // 2 if automatic != "SAME_LOWER" else total - total // 2)
        else:
            begin.append(0 if automatic == "VALID" else pads[k])
    return begin


def _cut(g: Lowering, tensor: int, begin: Sequence[int], size: Sequence[int], bias: Array) -> int:
    """Return a part of an NHWC tensor; where it reaches beyond the end it holds the bias."""
    n, height, width, channels = g.writer.shape(tensor)
    after = [max(0, b + s - have) for b, s, have in zip(begin, size, (height, width))]
    before = [max(0, -b) for b in begin]
    if any(after) or any(before):
        plain = tensor
        if np.any(bias):  # pad the result without its bias
            plain = g.sub(tensor, g.writer.constant(bias))
        plain = padded(g, plain, before, after)
        tensor = g.add(plain, g.writer.constant(bias)) if np.any(bias) else plain
        begin = [b + p for b, p in zip(begin, before)]
    return g.slice(tensor, (0, begin[0], begin[1], 0), (n, size[0], size[1], channels))


def _fused_conv(g: Lowering, node: Node) -> None:
    kind = node.get("activation", "")
    if kind not in ("", "Relu") or node.input(3):
        raise Unsupported(f"fused {kind or 'addition'}")
    _conv(g, node)
    if kind == "Relu":
        order = g.order(node.output)
        g.put(node.output, g.one("RELU", g.get(node.output, order)), order)


HANDLERS: dict[str, Handler] = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "com.microsoft.FusedConv": _fused_conv,
}
