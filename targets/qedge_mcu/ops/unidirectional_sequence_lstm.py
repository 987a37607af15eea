"""UNIDIRECTIONAL_SEQUENCE_LSTM: int8 with an int16 cell; bit-exact to TFLite Micro.

No peephole, projection, layer normalisation or coupled gates, as in TFLite Micro. Hidden and cell state live in the
caller's context and carry over to the next run.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qedge.graph import Tensor
from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Reason,
    Ref,
    State,
    Value,
    constant,
    expect_quantized,
    scalar,
)
from qedge_mcu.ops.requantize import bias_values, expect_weights, wrap_int32

NAMES = ("UNIDIRECTIONAL_SEQUENCE_LSTM",)

# positions of the inputs: weights of the input, weights of the hidden state, bias
GATES = {"forget": (2, 6, 13), "input": (1, 5, 12), "cell": (3, 7, 14), "output": (4, 8, 15)}
HIDDEN, CELL = 18, 19
UNUSED = (9, 10, 11, 16, 17, 20, 21, 22, 23)

_SIGMOID_ONE_HIGHER = (
    *(4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44),
    *(45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255),
)


def sigmoid_table() -> npt.NDArray[np.uint16]:
    """Return sigmoid(i / 24) in 0.16 fixed point, 256 entries, as TFLite tabulates it.

    It is the rounded function but for 44 entries, which are one higher.

    >>> sigmoid_table()[[0, 1, 4, 255]].tolist()
    [32768, 33451, 35493, 65535]
    """
    table = [math.floor(65536 / (1 + math.exp(-i / 24)) + 0.5) for i in range(256)]
    for i in _SIGMOID_ONE_HIGHER:
        table[i] += 1
    return np.array(table, np.uint16)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, features beyond the plain cell, a cell scale that is no power of two."""
    reasons = [
        Reason(f"input {i} is present: peephole, projection or layer normalisation")
        for i in UNUSED
        if c.optional(i) is not None
    ]
    for position in (HIDDEN, CELL, *(p for gate in GATES.values() for p in gate)):
        if c.optional(position) is None:
            reasons.append(Reason(f"input {position} is missing: coupled gates or no bias"))
    if reasons:
        return reasons
    reasons += expect_quantized(c.input(0), what="the input")
    reasons += expect_quantized(c.output, what="the output")
    reasons += expect_quantized(c.input(HIDDEN), what="the hidden state")
    reasons += expect_quantized(c.input(CELL), what="the cell state", dtypes=("int16",))
    for weights_in, weights_hidden, _ in GATES.values():
        for weights in (c.input(weights_in), c.input(weights_hidden)):
            reasons += expect_weights(weights, 1, 0, dtypes=("int8",))
    if c.option("fused_activation_function", "TANH") != "TANH":
        reasons.append(Reason(f"activation {c.option('fused_activation_function')}, expected TANH"))
    if not reasons and math.frexp(scalar(c.input(CELL))[0])[0] != 0.5:
        reasons.append(Reason(f"the cell's scale is {scalar(c.input(CELL))[0]:g}, expected a power of two"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call; zero points are folded into the biases."""
    data, hidden, cell = c.input(0), c.input(HIDDEN), c.input(CELL)
    time_major = bool(c.option("time_major", False))
    times, batches = (data.shape[0], data.shape[1]) if time_major else (data.shape[1], data.shape[0])
    units = c.output.shape[2]
    weights, biases, scales = [], [], []
    for weights_in, weights_hidden, bias in GATES.values():
        sides = ((data, c.input(weights_in), c.optional(bias)), (hidden, c.input(weights_hidden), None))
        for source, side, side_bias in sides:
            weights.append(constant(side))
            sums = constant(side).sum(axis=1, dtype=np.int64)
            biases.append(wrap_int32(bias_values(side_bias, units) - scalar(source)[1] * sums))
            scales.append(_gate(source, side))
    cell_scale = scalar(cell)[0]
    hidden_scale, hidden_zero = scalar(hidden)
    forget = quantize_multiplier(2.0**-15 * cell_scale / cell_scale)
    update = quantize_multiplier(2.0**-30 / cell_scale)
    output = quantize_multiplier(2.0**-30 / hidden_scale)
    clip = float(c.option("cell_clip", 0.0))
    members: tuple[tuple[str, Value], ...] = (
        ("weights", Ref("weights")),
        ("bias", Ref("bias")),
        ("multiplier", Ref("multiplier")),
        ("sigmoid", Ref("sigmoid")),
        ("shift", Ref("shift")),
        ("forget_multiplier", forget[0]),
        ("update_multiplier", update[0]),
        ("output_multiplier", output[0]),
        ("forget_shift", forget[1]),
        ("update_shift", update[1]),
        ("output_shift", output[1]),
        ("cell_shift", 12 + math.frexp(cell_scale)[1] - 1),
        ("cell_clip", int(min(max(clip / cell_scale, -32768.0), 32767.0)) if clip > 0 else 32767),
        ("clips", int(clip > 0)),
        ("times", times),
        ("batches", batches),
        ("inputs", data.shape[2]),
        ("units", units),
        ("time_step", batches if time_major else 1),
        ("batch_step", 1 if time_major else times),
        ("hidden_zero_point", hidden_zero),
    )
    return Emitted(
        function="qe_unidirectional_sequence_lstm_s8",
        args=(
            "{params}",
            "{in0}",
            f"(int8_t *)(void *){{state:{_state(hidden)}}}",
            f"(int16_t *)(void *){{state:{_state(cell)}}}",
            "{out0}",
        ),
        kernels=("qe_unidirectional_sequence_lstm_s8.c",),
        params=Params("qe_unidirectional_sequence_lstm_params", members),
        arrays=(
            ConstArray("weights", np.concatenate(weights, axis=1).reshape(-1), "weights"),
            ConstArray("bias", np.stack(biases, axis=1).reshape(-1), "bias"),
            ConstArray("multiplier", np.array([m for m, _ in scales], np.int32)),
            ConstArray("shift", np.array([s for _, s in scales], np.int8)),
            ConstArray("sigmoid", sigmoid_table()),
        ),
        states=(
            State(_state(hidden), batches * units, hidden_zero),
            State(_state(cell), 2 * batches * units),
        ),
    )


def _gate(source: Tensor, weights: Tensor) -> tuple[int, int]:
    """Return multiplier and shift from a sum to a gate's argument, which has 12 fractional bits."""
    product = np.float32(scalar(source)[0]) * np.float32(scalar(weights)[0])
    return quantize_multiplier(float(product) / 2.0**-12)


def _state(tensor: Tensor) -> str:
    return f"state_{tensor.index}"
