"""The differentiable twin of each operator: the same real-valued function in TensorFlow, batched.

A value has one axis more than its tensor in the model: the samples, in front. Constants have it too, of length 1. So a
twin says what its operator does to one sample, and what a model does to its own batch of 1 stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qedge.tune.twins import layers, moved, values
from qedge.tune.twins.call import Call, NoTwin, Value
from qedge.tune.twins.values import both, each

__all__ = ["TWINS", "Call", "NoTwin", "outputs_of"]


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


TWINS: Mapping[str, Callable[[Call], Value | list[Value]]] = {
    "CONV_2D": layers.conv_2d,
    "DEPTHWISE_CONV_2D": layers.depthwise,
    "FULLY_CONNECTED": layers.fully_connected,
    "TRANSPOSE_CONV": layers.transpose_conv,
    "SOFTMAX": values.softmax,
    "LOGISTIC": each(lambda tf, x: tf.sigmoid(x)),
    "TANH": each(lambda tf, x: tf.tanh(x)),
    "L2_NORMALIZATION": values.l2_normalization,
    "LOG_SOFTMAX": each(lambda tf, x: tf.nn.log_softmax(x)),
    "AVERAGE_POOL_2D": layers.pool("average"),
    "MAX_POOL_2D": layers.pool("max"),
    "RESHAPE": moved.as_it_is,
    "SQUEEZE": moved.as_it_is,
    "EXPAND_DIMS": moved.as_it_is,
    "TRANSPOSE": moved.transpose,
    "STRIDED_SLICE": moved.strided_slice,
    "SLICE": moved.slice,
    "SPLIT": moved.split,
    "SPLIT_V": moved.split_v,
    "UNPACK": moved.unpack,
    "PACK": moved.pack,
    "CONCATENATION": moved.concatenation,
    "PAD": moved.pad,
    "PADV2": moved.pad,
    "MIRROR_PAD": moved.mirror_pad,
    "GATHER": moved.gather,
    "TILE": moved.tile,
    "BROADCAST_TO": moved.broadcast_to,
    "REVERSE_V2": moved.reverse,
    "RESIZE_BILINEAR": moved.resized("resize_bilinear"),
    "RESIZE_NEAREST_NEIGHBOR": moved.resized("resize_nearest_neighbor"),
    "DEPTH_TO_SPACE": moved.depth_to_space,
    "SPACE_TO_DEPTH": moved.space_to_depth,
    "SPACE_TO_BATCH_ND": moved.space_to_batch,
    "BATCH_TO_SPACE_ND": moved.batch_to_space,
    "REDUCE_MAX": layers.reduced("reduce_max"),
    "REDUCE_MIN": layers.reduced("reduce_min"),
    "MEAN": layers.reduced("reduce_mean"),
    "SUM": layers.reduced("reduce_sum"),
    "MAXIMUM": both(lambda tf, a, b: tf.maximum(a, b)),
    "MINIMUM": both(lambda tf, a, b: tf.minimum(a, b)),
    "ADD": both(lambda tf, a, b: a + b),
    "SUB": both(lambda tf, a, b: a - b),
    "MUL": both(lambda tf, a, b: a * b),
    "DIV": both(lambda tf, a, b: a / b),
    "POW": both(lambda tf, a, b: tf.pow(a, b)),
    "SQUARED_DIFFERENCE": both(lambda tf, a, b: tf.math.squared_difference(a, b)),
    "FLOOR_DIV": both(lambda tf, a, b: tf.math.floordiv(a, b)),
    "FLOOR_MOD": both(lambda tf, a, b: tf.math.floormod(a, b)),
    "GREATER": both(lambda tf, a, b: a > b),
    "GREATER_EQUAL": both(lambda tf, a, b: a >= b),
    "LESS": both(lambda tf, a, b: a < b),
    "LESS_EQUAL": both(lambda tf, a, b: a <= b),
    "EQUAL": both(lambda tf, a, b: tf.equal(a, b)),
    "NOT_EQUAL": both(lambda tf, a, b: tf.not_equal(a, b)),
    "LOGICAL_AND": both(lambda tf, a, b: tf.logical_and(a, b)),
    "LOGICAL_OR": both(lambda tf, a, b: tf.logical_or(a, b)),
    "LOGICAL_NOT": each(lambda tf, x: tf.logical_not(x)),
    "RSQRT": each(lambda tf, x: tf.math.rsqrt(tf.maximum(x, 1e-12))),
    "SQRT": each(lambda tf, x: tf.sqrt(tf.maximum(x, 1e-12))),
    "SQUARE": each(lambda tf, x: tf.square(x)),
    "ABS": each(lambda tf, x: tf.abs(x)),
    "NEG": each(lambda tf, x: -x),
    "SIN": each(lambda tf, x: tf.sin(x)),
    "COS": each(lambda tf, x: tf.cos(x)),
    "FLOOR": each(lambda tf, x: tf.floor(x)),
    "CEIL": each(lambda tf, x: tf.math.ceil(x)),
    "ROUND": each(lambda tf, x: tf.round(x)),
    "SIGN": each(lambda tf, x: tf.sign(x)),
    "EXP": each(lambda tf, x: tf.exp(x)),
    "LOG": each(lambda tf, x: tf.math.log(tf.maximum(x, 1e-30))),
    "RELU": each(lambda tf, x: tf.nn.relu(x)),
    "RELU6": each(lambda tf, x: tf.nn.relu6(x)),
    "RELU_N1_TO_1": each(lambda tf, x: tf.clip_by_value(x, -1.0, 1.0)),
    "RELU_0_TO_1": each(lambda tf, x: tf.clip_by_value(x, 0.0, 1.0)),
    "LEAKY_RELU": values.leaky_relu,
    "PRELU": values.prelu,
    "HARD_SWISH": each(lambda tf, x: x * tf.nn.relu6(x + 3.0) / 6.0),
    "GELU": values.gelu,
    "ELU": each(lambda tf, x: tf.nn.elu(x)),
    "BATCH_MATMUL": values.batch_matmul,
    "SELECT": values.select,
    "SELECT_V2": values.select,
    "CAST": values.cast,
    "ARG_MAX": values.place_of("argmax"),
    "ARG_MIN": values.place_of("argmin"),
}
"""By TFLite's name: every operator of :data:`qedge.quantize.rules.RULES`, and those that tables are made of."""
