"""Twins of functions of single values, and of products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qedge.tune.twins.call import Call, Value


def both(function: Callable[[Any, Value, Value], Value]) -> Callable[[Call], Value]:
    """Return the twin of a function of two values."""
    return lambda c: c.activated(c.shaped(function(c.tf, *c.aligned(0, 1))))


def each(function: Callable[[Any, Value], Value]) -> Callable[[Call], Value]:
    """Return the twin of a function of one value."""
    return lambda c: function(c.tf, c.values[0])


def l2_normalization(c: Call) -> Value:
    """Return L2_NORMALIZATION's twin."""
    return c.activated(c.tf.math.l2_normalize(c.values[0], -1))


def leaky_relu(c: Call) -> Value:
    """Return LEAKY_RELU's twin."""
    return c.tf.nn.leaky_relu(c.values[0], float(c.op.options.get("alpha", 0.0)))


def prelu(c: Call) -> Value:
    """Return PRELU's twin."""
    x, slope = c.aligned(0, 1)
    return c.shaped(c.tf.nn.relu(x) + slope * c.tf.minimum(x, 0.0))


def select(c: Call) -> Value:
    """Return SELECT's twin."""
    return c.shaped(c.tf.where(*c.aligned(0, 1, 2)))


def softmax(c: Call) -> Value:
    """Return SOFTMAX's twin."""
    return c.tf.nn.softmax(c.values[0] * float(c.op.options.get("beta", 1.0)))


def gelu(c: Call) -> Value:
    """Return GELU's twin."""
    return c.tf.nn.gelu(c.values[0], bool(c.op.options.get("approximate")))


def cast(c: Call) -> Value:
    """Return CAST's twin."""
    return c.tf.cast(c.values[0], c.graph.tensors[c.op.outputs[0]].dtype)


def place_of(name: str) -> Callable[[Call], Value]:
    """Return the twin of the place of the largest or smallest value, by TensorFlow's name."""

    def twin(c: Call) -> Value:
        found = getattr(c.tf, name)(c.values[0], c.axes(1)[0])
        return c.shaped(c.tf.cast(found, c.graph.tensors[c.op.outputs[0]].dtype))

    return twin


def batch_matmul(c: Call) -> Value:
    """Return BATCH_MATMUL's twin."""
    a, b = c.aligned(0, 1)
    o = c.op.options
    return c.tf.matmul(a, b, transpose_a=bool(o.get("adj_x")), transpose_b=bool(o.get("adj_y")))
