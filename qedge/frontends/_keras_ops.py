"""Keras operations written with what TFLite has, in the child process, where Keras' own way of them is not."""

from __future__ import annotations

from typing import Any

from qedge.frontends.protocol import require


def simplify(keras: Any) -> None:
    """Let ``argmax`` and ``argmin`` of Keras 3 be the one operator that they are.

    Keras tells zeros from negative zeros before it, by operators on bits that TFLite lacks; int8 has one zero.
    """
    backend = getattr(getattr(getattr(keras, "src", None), "backend", None), "numpy", None)
    tf = require("tensorflow", "TensorFlow")
    for name in ("argmax", "argmin"):
        if hasattr(backend, name):
            setattr(backend, name, _of(getattr(tf, name), tf))


def _of(operation: Any, tf: Any) -> Any:
    def plain(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        values = tf.convert_to_tensor(x)
        rank = len(values.shape)
        found = operation(
            tf.reshape(values, [-1]) if axis is None else values, axis=axis or 0, output_type="int32"
        )
        if not keepdims:
            return found
        return tf.reshape(found, [1] * rank) if axis is None else tf.expand_dims(found, axis)

    return plain
