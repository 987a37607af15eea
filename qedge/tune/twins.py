"""The differentiable twin of each operator: the same real-valued function in TensorFlow, batched.

A value has one axis more than its tensor in the model: the samples, in front. Constants have it too, of length 1. So a
twin says what its operator does to one sample, and what a model does to its own batch of 1 stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qedge.graph import Graph, Operator

Value = Any
"""A TensorFlow tensor: samples first, then the shape of the model's tensor."""


class NoTwin(Exception):
    """An operator, or a form of one, that cannot be tuned."""


@dataclass(frozen=True)
class Call:
    """One operator with the values that it reads.

    Args:
        tf: the TensorFlow module.
        values: by input slot; None where an optional input is absent. Weights and biases come without the samples.
    """

    tf: Any
    graph: Graph
    op: Operator
    values: Sequence[Value]

    def shape(self, slot: int) -> tuple[int, ...]:
        """Return the shape of an input in the model."""
        return self.graph.tensors[self.op.inputs[slot]].shape

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of the first output in the model."""
        return self.graph.tensors[self.op.outputs[0]].shape

    def constant(self, slot: int) -> np.ndarray:
        """Return the values of an input that must be constant: axes, sizes, paddings."""
        data = self.graph.tensors[self.op.inputs[slot]].data
        if data is None:
            raise NoTwin(f"{self.op.label} computes what its input {slot} says while it runs")
        return np.asarray(data)

    def axes(self, slot: int) -> list[int]:
        """Return constant axes as those of values."""
        rank = len(self.shape(0))
        return [int(a) % rank + 1 for a in self.constant(slot).reshape(-1)]

    def axis(self, name: str, rank: int) -> int:
        """Return an axis among the options as that of values of this rank."""
        return int(self.op.options.get(name, 0)) % rank + 1

    def flat(self, slot: int) -> Value:
        """Return an input with the samples and the model's own batch as one axis."""
        return self.tf.reshape(self.values[slot], (-1, *self.shape(slot)[1:]))

    def shaped(self, value: Value, shape: tuple[int, ...] | None = None) -> Value:
        """Return a value in the shape of the first output, or another one."""
        return self.tf.reshape(value, (-1, *(self.result if shape is None else shape)))

    def aligned(self, *slots: int) -> list[Value]:
        """Return inputs with the rank of the largest, as broadcasting aligns them."""
        rank = max(len(self.shape(s)) for s in slots)
        return [
            self.tf.reshape(self.values[s], (-1, *(1,) * (rank - len(self.shape(s))), *self.shape(s)))
            for s in slots
        ]

    def spread(self, slots: Sequence[int]) -> list[Value]:
        """Return inputs that all have as many samples as the largest."""
        tf = self.tf
        samples = tf.reduce_max(tf.stack([tf.shape(self.values[s])[0] for s in slots]))
        return [
            tf.broadcast_to(self.values[s], tf.concat([[samples], self.shape(s)], 0))
            if self.graph.tensors[self.op.inputs[s]].is_constant
            else self.values[s]
            for s in slots
        ]

    def activated(self, value: Value) -> Value:
        """Return a value behind the fused activation."""
        name = self.op.options.get("fused_activation_function", "NONE")
        if name not in _FUSED:
            raise NoTwin(f"{self.op.label} has the fused activation {name}")
        return _FUSED[name](self.tf, value)


_FUSED: Mapping[str, Callable[[Any, Value], Value]] = {
    "NONE": lambda tf, x: x,
    "RELU": lambda tf, x: tf.nn.relu(x),
    "RELU6": lambda tf, x: tf.nn.relu6(x),
    "RELU_N1_TO_1": lambda tf, x: tf.clip_by_value(x, -1.0, 1.0),
    "TANH": lambda tf, x: tf.tanh(x),
}


def outputs_of(call: Call) -> list[Value]:
    """Return what an operator writes.

    Raises:
        NoTwin: the operator, or this form of it, has none.
    """
    twin = TWINS.get(call.op.op)
    if twin is None:
        raise NoTwin(f"{call.op.label} has no differentiable twin")
    found = twin(call)
    return list(found) if isinstance(found, (list, tuple)) else [found]


# Layers with weights


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


def _conv_2d(c: Call) -> Value:
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


def _depthwise(c: Call) -> Value:
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


def _fully_connected(c: Call) -> Value:
    weights = c.values[1]
    x = c.tf.reshape(c.values[0], (-1, weights.shape[1]))
    return c.activated(c.shaped(_biased(c, c.tf.matmul(x, weights, transpose_b=True))))


def _transpose_conv(c: Call) -> Value:
    tf, o = c.tf, c.op.options
    _, height, width, out = c.result
    x = c.flat(2)
    kernel = tf.transpose(c.values[1], (1, 2, 0, 3))
    shape = (tf.shape(x)[0], height, width, out)
    strides = (int(o["stride_h"]), int(o["stride_w"]))
    found = tf.nn.conv2d_transpose(x, kernel, shape, strides, o.get("padding", "SAME"))
    return c.activated(c.shaped(_biased(c, found, 3)))


# Pools and sums


def _pool(kind: str) -> Callable[[Call], Value]:
    def twin(c: Call) -> Value:
        o = c.op.options
        size = int(o["filter_height"]), int(o["filter_width"])
        strides = int(o["stride_h"]), int(o["stride_w"])
        pool = c.tf.nn.max_pool2d if kind == "max" else c.tf.nn.avg_pool2d
        return c.activated(c.shaped(pool(c.flat(0), size, strides, o.get("padding", "SAME"))))

    return twin


def _reduce(name: str) -> Callable[[Call], Value]:
    return lambda c: c.shaped(getattr(c.tf, name)(c.values[0], c.axes(1)))


# Values by themselves


def _both(function: Callable[[Any, Value, Value], Value]) -> Callable[[Call], Value]:
    return lambda c: c.activated(c.shaped(function(c.tf, *c.aligned(0, 1))))


def _each(function: Callable[[Any, Value], Value]) -> Callable[[Call], Value]:
    return lambda c: function(c.tf, c.values[0])


def _l2_normalization(c: Call) -> Value:
    return c.activated(c.tf.math.l2_normalize(c.values[0], -1))


def _leaky_relu(c: Call) -> Value:
    return c.tf.nn.leaky_relu(c.values[0], float(c.op.options.get("alpha", 0.0)))


def _prelu(c: Call) -> Value:
    x, slope = c.aligned(0, 1)
    return c.shaped(c.tf.nn.relu(x) + slope * c.tf.minimum(x, 0.0))


def _select(c: Call) -> Value:
    return c.shaped(c.tf.where(*c.aligned(0, 1, 2)))


def _softmax(c: Call) -> Value:
    return c.tf.nn.softmax(c.values[0] * float(c.op.options.get("beta", 1.0)))


def _gelu(c: Call) -> Value:
    return c.tf.nn.gelu(c.values[0], bool(c.op.options.get("approximate")))


def _cast(c: Call) -> Value:
    return c.tf.cast(c.values[0], c.graph.tensors[c.op.outputs[0]].dtype)


def _arg(name: str) -> Callable[[Call], Value]:
    def twin(c: Call) -> Value:
        found = getattr(c.tf, name)(c.values[0], c.axes(1)[0])
        return c.shaped(c.tf.cast(found, c.graph.tensors[c.op.outputs[0]].dtype))

    return twin


def _batch_matmul(c: Call) -> Value:
    a, b = c.aligned(0, 1)
    o = c.op.options
    return c.tf.matmul(a, b, transpose_a=bool(o.get("adj_x")), transpose_b=bool(o.get("adj_y")))


# Values moved


def _as_it_is(c: Call) -> Value:
    return c.shaped(c.values[0])


def _transpose(c: Call) -> Value:
    return c.tf.transpose(c.values[0], [0, *(int(p) + 1 for p in c.constant(1).reshape(-1))])


def _strided_slice(c: Call) -> Value:
    o = c.op.options
    begin, end, step = ([int(v) for v in c.constant(s).reshape(-1)] for s in (1, 2, 3))
    masks = {k: int(o.get(k) or 0) << 1 for k in ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")}
    found = c.tf.strided_slice(
        c.values[0],
        [0, *begin],
        [0, *end],
        [1, *step],
        begin_mask=int(o.get("begin_mask") or 0) << 1 | 1,
        end_mask=int(o.get("end_mask") or 0) << 1 | 1,
        **masks,
    )
    return c.shaped(found)


def _slice(c: Call) -> Value:
    begin, size = ([int(v) for v in c.constant(s).reshape(-1)] for s in (1, 2))
    return c.tf.slice(c.values[0], [0, *begin], [-1, *size])


def _split(c: Call) -> list[Value]:
    axis = int(c.constant(0).reshape(-1)[0]) % len(c.shape(1)) + 1
    return list(c.tf.split(c.values[1], len(c.op.outputs), axis))


def _split_v(c: Call) -> list[Value]:
    axis = int(c.constant(2).reshape(-1)[0]) % len(c.shape(0)) + 1
    sizes = [c.graph.tensors[t].shape[axis - 1] for t in c.op.outputs]
    return list(c.tf.split(c.values[0], sizes, axis))


def _unpack(c: Call) -> list[Value]:
    return list(c.tf.unstack(c.values[0], axis=c.axis("axis", len(c.shape(0)))))


def _pack(c: Call) -> Value:
    return c.tf.stack(c.spread(range(len(c.values))), c.axis("axis", len(c.result)))


def _concatenation(c: Call) -> Value:
    return c.activated(c.tf.concat(c.spread(range(len(c.values))), c.axis("axis", len(c.result))))


def _pad(c: Call) -> Value:
    value = 0.0
    if len(c.values) > 2 and c.values[2] is not None:
        value = c.tf.reshape(c.values[2], (-1,))[0]
    pads = c.constant(1).reshape(-1, 2).tolist()
    return c.tf.pad(c.values[0], [[0, 0], *pads], constant_values=value)


def _mirror_pad(c: Call) -> Value:
    pads = c.constant(1).reshape(-1, 2).tolist()
    return c.tf.pad(c.values[0], [[0, 0], *pads], mode=str(c.op.options.get("mode", "REFLECT")))


def _gather(c: Call) -> Value:
    tf, rank = c.tf, len(c.shape(0))
    axis, batch = c.axis("axis", rank), int(c.op.options.get("batch_dims") or 0)
    if c.graph.tensors[c.op.inputs[1]].is_constant and not batch:
        return c.shaped(tf.gather(c.values[0], c.constant(1), axis=axis))
    if c.graph.tensors[c.op.inputs[0]].is_constant and axis == 1 and not batch:
        return c.shaped(tf.gather(c.values[0][0], c.values[1], axis=0))
    source, index = c.spread((0, 1))
    return c.shaped(tf.gather(source, index, axis=axis, batch_dims=batch + 1))


def _tile(c: Call) -> Value:
    return c.tf.tile(c.values[0], [1, *(int(v) for v in c.constant(1).reshape(-1))])


def _broadcast_to(c: Call) -> Value:
    rank = len(c.result)
    x = c.tf.reshape(c.values[0], (-1, *(1,) * (rank - len(c.shape(0))), *c.shape(0)))
    return c.tf.broadcast_to(x, c.tf.concat([[c.tf.shape(x)[0]], c.result], 0))


def _reverse(c: Call) -> Value:
    return c.tf.reverse(c.values[0], c.axes(1))


def _resize(name: str) -> Callable[[Call], Value]:
    def twin(c: Call) -> Value:
        o = c.op.options
        resize = getattr(c.tf.compat.v1.image, name)
        corners, half = bool(o.get("align_corners")), bool(o.get("half_pixel_centers"))
        size = [int(v) for v in c.constant(1).reshape(-1)]
        return c.shaped(resize(c.flat(0), size, align_corners=corners, half_pixel_centers=half))

    return twin


def _depth_to_space(c: Call) -> Value:
    return c.shaped(c.tf.nn.depth_to_space(c.flat(0), int(c.op.options["block_size"])))


def _space_to_depth(c: Call) -> Value:
    return c.shaped(c.tf.nn.space_to_depth(c.flat(0), int(c.op.options["block_size"])))


def _space_to_batch(c: Call) -> Value:
    tf, block = c.tf, c.constant(1).reshape(-1)
    found = tf.space_to_batch(c.flat(0), block, c.constant(2))
    parted = tf.reshape(found, (math.prod(block), -1, c.shape(0)[0], *c.result[1:]))
    return c.shaped(tf.transpose(parted, (1, 0, *range(2, len(c.result) + 2))))


def _batch_to_space(c: Call) -> Value:
    tf, block = c.tf, c.constant(1).reshape(-1)
    parted = tf.reshape(c.values[0], (-1, math.prod(block), c.result[0], *c.shape(0)[1:]))
    turned = tf.transpose(parted, (1, 0, *range(2, len(c.shape(0)) + 2)))
    return c.shaped(tf.batch_to_space(tf.reshape(turned, (-1, *c.shape(0)[1:])), block, c.constant(2)))


TWINS: Mapping[str, Callable[[Call], Value | list[Value]]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
    "SOFTMAX": _softmax,
    "LOGISTIC": _each(lambda tf, x: tf.sigmoid(x)),
    "TANH": _each(lambda tf, x: tf.tanh(x)),
    "L2_NORMALIZATION": _l2_normalization,
    "LOG_SOFTMAX": _each(lambda tf, x: tf.nn.log_softmax(x)),
    "AVERAGE_POOL_2D": _pool("average"),
    "MAX_POOL_2D": _pool("max"),
    "RESHAPE": _as_it_is,
    "SQUEEZE": _as_it_is,
    "EXPAND_DIMS": _as_it_is,
    "TRANSPOSE": _transpose,
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "UNPACK": _unpack,
    "PACK": _pack,
    "CONCATENATION": _concatenation,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _mirror_pad,
    "GATHER": _gather,
    "TILE": _tile,
    "BROADCAST_TO": _broadcast_to,
    "REVERSE_V2": _reverse,
    "RESIZE_BILINEAR": _resize("resize_bilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("resize_nearest_neighbor"),
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "REDUCE_MAX": _reduce("reduce_max"),
    "REDUCE_MIN": _reduce("reduce_min"),
    "MEAN": _reduce("reduce_mean"),
    "SUM": _reduce("reduce_sum"),
    "MAXIMUM": _both(lambda tf, a, b: tf.maximum(a, b)),
    "MINIMUM": _both(lambda tf, a, b: tf.minimum(a, b)),
    "ADD": _both(lambda tf, a, b: a + b),
    "SUB": _both(lambda tf, a, b: a - b),
    "MUL": _both(lambda tf, a, b: a * b),
    "DIV": _both(lambda tf, a, b: a / b),
    "POW": _both(lambda tf, a, b: tf.pow(a, b)),
    "SQUARED_DIFFERENCE": _both(lambda tf, a, b: tf.math.squared_difference(a, b)),
    "FLOOR_DIV": _both(lambda tf, a, b: tf.math.floordiv(a, b)),
    "FLOOR_MOD": _both(lambda tf, a, b: tf.math.floormod(a, b)),
    "GREATER": _both(lambda tf, a, b: a > b),
    "GREATER_EQUAL": _both(lambda tf, a, b: a >= b),
    "LESS": _both(lambda tf, a, b: a < b),
    "LESS_EQUAL": _both(lambda tf, a, b: a <= b),
    "EQUAL": _both(lambda tf, a, b: tf.equal(a, b)),
    "NOT_EQUAL": _both(lambda tf, a, b: tf.not_equal(a, b)),
    "LOGICAL_AND": _both(lambda tf, a, b: tf.logical_and(a, b)),
    "LOGICAL_OR": _both(lambda tf, a, b: tf.logical_or(a, b)),
    "LOGICAL_NOT": _each(lambda tf, x: tf.logical_not(x)),
    "RSQRT": _each(lambda tf, x: tf.math.rsqrt(tf.maximum(x, 1e-12))),
    "SQRT": _each(lambda tf, x: tf.sqrt(tf.maximum(x, 1e-12))),
    "SQUARE": _each(lambda tf, x: tf.square(x)),
    "ABS": _each(lambda tf, x: tf.abs(x)),
    "NEG": _each(lambda tf, x: -x),
    "SIN": _each(lambda tf, x: tf.sin(x)),
    "COS": _each(lambda tf, x: tf.cos(x)),
    "FLOOR": _each(lambda tf, x: tf.floor(x)),
    "CEIL": _each(lambda tf, x: tf.math.ceil(x)),
    "ROUND": _each(lambda tf, x: tf.round(x)),
    "SIGN": _each(lambda tf, x: tf.sign(x)),
    "EXP": _each(lambda tf, x: tf.exp(x)),
    "LOG": _each(lambda tf, x: tf.math.log(tf.maximum(x, 1e-30))),
    "RELU": _each(lambda tf, x: tf.nn.relu(x)),
    "RELU6": _each(lambda tf, x: tf.nn.relu6(x)),
    "RELU_N1_TO_1": _each(lambda tf, x: tf.clip_by_value(x, -1.0, 1.0)),
    "RELU_0_TO_1": _each(lambda tf, x: tf.clip_by_value(x, 0.0, 1.0)),
    "LEAKY_RELU": _leaky_relu,
    "PRELU": _prelu,
    "HARD_SWISH": _each(lambda tf, x: x * tf.nn.relu6(x + 3.0) / 6.0),
    "GELU": _gelu,
    "ELU": _each(lambda tf, x: tf.nn.elu(x)),
    "BATCH_MATMUL": _batch_matmul,
    "SELECT": _select,
    "SELECT_V2": _select,
    "CAST": _cast,
    "ARG_MAX": _arg("argmax"),
    "ARG_MIN": _arg("argmin"),
}
"""By TFLite's name: every operator of :data:`qedge.quantize.rules.RULES`, and those that tables are made of."""
