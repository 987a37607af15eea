"""Twins of layers with weights, of pools and of sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qedge.tune.twins.call import Call, Value


def _padding(c: Call, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the padding before and after along one dimension, as TFLite computes it."""
    if c.op.options.get("padding", "SAME") == "VALID":
        return 0, 0
    out = -(-size // stride)
    total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _spread_kernel(tf: Any, kernel: Value, dilation: tuple[int, int]) -> Value:
    """Return a kernel (h, w, in, out) with zeros between its taps: TensorFlow has no gradient of dilated ones here."""
    for axis, d in enumerate(dilation):
        size = kernel.shape[axis]
        if d == 1 or size == 1:
            continue
        gaps = [[0, 0]] * 5
        gaps[axis + 1] = [0, d - 1]
        spread = tf.pad(tf.expand_dims(kernel, axis + 1), gaps)
        shape = list(kernel.shape)
        shape[axis] = size * d
        kernel = tf.gather(tf.reshape(spread, shape), range((size - 1) * d + 1), axis=axis)
    return kernel


def _window(c: Call, weight: tuple[int, int]) -> tuple[Value, tuple[int, int], tuple[int, int]]:
    """Return the padded input (samples, h, w, channels), the strides and the dilations of a convolution."""
    o = c.op.options
    strides = int(o.get("stride_h", 1)), int(o.get("stride_w", 1))
    dilation = int(o.get("dilation_h_factor", 1)), int(o.get("dilation_w_factor", 1))
    x = c.flat(0)
    pads = [_padding(c, c.shape(0)[k + 1], weight[k], strides[k], dilation[k]) for k in (0, 1)]
    if any(p for pad in pads for p in pad):
        x = c.tf.pad(x, [[0, 0], *map(list, pads), [0, 0]])
    return x, strides, dilation


def conv_2d(c: Call) -> Value:
    """Return CONV_2D's twin."""
    tf, weights = c.tf, c.values[1]
    kernel = tf.transpose(weights, (1, 2, 3, 0))
    x, strides, dilation = _window(c, (kernel.shape[0], kernel.shape[1]))
    kernel = _spread_kernel(tf, kernel, dilation)
    groups = x.shape[-1] // kernel.shape[2]
    parts = [
        tf.nn.conv2d(part, k, strides, "VALID")
        for part, k in zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1))
    ]
    return c.activated(c.shaped(_biased(c, parts[0] if groups == 1 else tf.concat(parts, -1))))


def depthwise(c: Call) -> Value:
    """Return DEPTHWISE_CONV_2D's twin."""
    tf = c.tf
    _, height, width, out = c.shape(1)
    channels = c.shape(0)[-1]
    kernel = tf.reshape(c.values[1], (height, width, channels, out // channels))
    x, strides, dilation = _window(c, (height, width))
    kernel = _spread_kernel(tf, kernel, dilation)
    return c.activated(c.shaped(_biased(c, _strided(c, x, kernel, strides))))


def _strided(c: Call, x: Value, kernel: Value, strides: tuple[int, int]) -> Value:
    """Return a depthwise convolution; TensorFlow has it for equal strides only."""
    tf, (_, height, width, _) = c.tf, c.result
    if strides[0] != strides[1] and min(height, width) > 1:
        dense = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID")
        return dense[:, :: strides[0], :: strides[1]]
    # Along a dimension with one output there is nothing to stride over.
    step = strides[0] if strides[0] == strides[1] or width == 1 else strides[1]
    found = tf.nn.depthwise_conv2d(x, kernel, (1, step, step, 1), "VALID")
    return found[:, :height, :width]


def _biased(c: Call, value: Value, slot: int = 2) -> Value:
    bias = c.values[slot] if len(c.values) > slot else None
    return value if bias is None else value + bias


def fully_connected(c: Call) -> Value:
    """Return FULLY_CONNECTED's twin."""
    weights = c.values[1]
    x = c.tf.reshape(c.values[0], (-1, weights.shape[1]))
    return c.activated(c.shaped(_biased(c, c.tf.matmul(x, weights, transpose_b=True))))


def transpose_conv(c: Call) -> Value:
    """Return TRANSPOSE_CONV's twin."""
    tf, o = c.tf, c.op.options
    _, height, width, out = c.result
    x = c.flat(2)
    kernel = tf.transpose(c.values[1], (1, 2, 0, 3))
    shape = (tf.shape(x)[0], height, width, out)
    strides = (int(o["stride_h"]), int(o["stride_w"]))
    found = tf.nn.conv2d_transpose(x, kernel, shape, strides, o.get("padding", "SAME"))
    return c.activated(c.shaped(_biased(c, found, 3)))


def pool(kind: str) -> Callable[[Call], Value]:
    """Return the twin of a pool, ``max`` or ``average``."""

    def twin(c: Call) -> Value:
        o = c.op.options
        size = int(o["filter_height"]), int(o["filter_width"])
        strides = int(o["stride_h"]), int(o["stride_w"])
        pool = c.tf.nn.max_pool2d if kind == "max" else c.tf.nn.avg_pool2d
        return c.activated(c.shaped(pool(c.flat(0), size, strides, o.get("padding", "SAME"))))

    return twin


def reduced(name: str) -> Callable[[Call], Value]:
    """Return the twin of a reduction along constant axes, by TensorFlow's name."""
    return lambda c: c.shaped(getattr(c.tf, name)(c.values[0], c.axes(1)))
