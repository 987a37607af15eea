"""LSTM and GRU layers unrolled into few plain operators, in the child process.

A recurrence as a loop exports to WHILE operators, which no target runs and int8 conversion crashes on. Unrolled by
Keras, each step costs 15 to 17 operators; written out here it costs 11, because the inputs of all steps are
multiplied at once and the gates pass their sigmoid together.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.protocol import require

Array = npt.NDArray[Any]


def unroll(layer: Any) -> None:
    """Make a recurrent layer trace without a loop; layers that are not recurrent stay as they are."""
    if not hasattr(layer, "unroll"):
        return
    layer.unroll = True
    if hasattr(layer, "_could_use_gpu_kernel"):
        layer._could_use_gpu_kernel = False
    step = {"LSTM": _lstm, "GRU": _gru}.get(type(layer).__name__)
    ours = type(layer).__module__.partition(".")[0] in ("keras", "tf_keras")
    plain = getattr(layer, "reset_after", True) and not getattr(layer, "time_major", False)
    if step is None or not ours or not plain:
        return
    usual = layer.call
    weights = _weights(layer.cell)

    def call(
        self: Any, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        if mask is not None or initial_state is not None:
            return usual(sequences, initial_state=initial_state, mask=mask, training=training)
        return _run(self, sequences, step, weights)

    layer.call = types.MethodType(call, layer)


def _weights(cell: Any) -> tuple[Array, Array, Array | None]:
    """Return kernel, recurrent kernel and bias (None without) of a cell."""
    bias = cell.bias.numpy() if cell.use_bias else None
    return cell.kernel.numpy(), cell.recurrent_kernel.numpy(), bias


def _run(layer: Any, sequences: Any, step: Any, weights: tuple[Array, Array, Array | None]) -> Any:
    """Return what the layer's own call returns, for (1, steps, features) and a state of zeros."""
    tf = require("tensorflow", "TensorFlow")
    steps, features = int(sequences.shape[1]), int(sequences.shape[2])
    rows = tf.reshape(sequences, (steps, features))
    outputs, states = step(tf, layer.cell, weights, rows, steps, bool(layer.go_backwards))
    result = tf.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
    return (result, *states) if layer.return_state else result


def _order(values: list[Any], backwards: bool) -> list[Any]:
    return values[::-1] if backwards else values


def _lstm(
    tf: Any, cell: Any, weights: tuple[Array, Array, Array | None], rows: Any, steps: int, backwards: bool
) -> tuple[list[Any], list[Any]]:
    """Return the output of every step and the last (h, c): Hochreiter and Schmidhuber 1997, with forget gate."""
    units = int(cell.units)
    gates = np.r_[0 : 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]  # i f c o to i f o c
    kernel, recurrent, bias = weights
    repeated = tf.constant(recurrent[:, gates])  # one constant for all steps
    given = tf.matmul(rows, kernel[:, gates])
    if bias is not None:
        given = tf.nn.bias_add(given, bias[gates])
    h = c = None
    outputs = []
    for z in _order(tf.split(given, steps, axis=0), backwards):
        if h is not None:
            z = z + tf.matmul(h, repeated)
        sigmoids, candidate = tf.split(z, [3 * units, units], axis=1)
        i, f, o = tf.split(cell.recurrent_activation(sigmoids), 3, axis=1)
        new = i * cell.activation(candidate)
        c = new if c is None else f * c + new
        h = o * cell.activation(c)
        outputs.append(h)
    return outputs, [h, c]


def _gru(
    tf: Any, cell: Any, weights: tuple[Array, Array, Array | None], rows: Any, steps: int, backwards: bool
) -> tuple[list[Any], list[Any]]:
    """Return the output of every step and the last h: Cho et al. 2014, reset after the multiplication."""
    units = int(cell.units)
    kernel, recurrent, bias = weights
    bias = np.zeros((2, 3 * units), np.float32) if bias is None else bias
    repeated, repeated_bias = tf.constant(recurrent), tf.constant(bias[1])  # one constant for all steps
    gates, candidates = (
        tf.split(tf.nn.bias_add(tf.matmul(rows, kernel[:, part]), bias[0, part]), steps, axis=0)
        for part in (slice(0, 2 * units), slice(2 * units, None))
    )
    h = None
    outputs = []
    for gate, candidate in zip(_order(gates, backwards), _order(candidates, backwards)):
        if h is None:
            inner_gate, inner = bias[1, : 2 * units], tf.constant(bias[1, 2 * units :])
        else:
            inner_gate, inner = tf.split(
                tf.nn.bias_add(tf.matmul(h, repeated), repeated_bias), [2 * units, units], axis=1
            )
        z, r = tf.split(cell.recurrent_activation(gate + inner_gate), 2, axis=1)
        new = cell.activation(candidate + r * inner)
        h = new - z * new if h is None else new + z * (h - new)
        outputs.append(h)
    return outputs, [h]
