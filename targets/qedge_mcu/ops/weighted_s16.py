"""CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV, FULLY_CONNECTED: int16 with int8 weights; bit-exact to TFLite Micro.

Sums have 64 bits and are rounded once, with a multiplier of 16 bits. CONV_2D and FULLY_CONNECTED with a bias of 32
bits have sums of 32 bits, requantised as those of int8. TFLite Micro takes the bias of the two others for one of 64
bits, whatever it is; here its numbers count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qedge.graph import Tensor
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Reason,
    constant,
    expect_activation,
    expect_quantized,
    fused_range,
    scalar,
)
from qedge_mcu.ops.geometry import expect_batch_1, window
from qedge_mcu.ops.requantize import (
    CHANNELS,
    Requantize,
    bias_values,
    channel_arrays,
    expect_weights,
    per_channel,
    per_output,
    wrap_int32,
)

INT16 = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
_AXIS = {"DEPTHWISE_CONV_2D": 3}
_BIAS = {"TRANSPOSE_CONV": ("int64", "int32", "int16"), "DEPTHWISE_CONV_2D": ("int64", "int32")}
_WIDE_BIAS = (
    "convert with a bias of 64 bits, TFLiteConverter's default, or build from the float model (--lift int16)"
)


def _tensors(c: OpContext) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return (input, weights, bias)."""
    if c.op.op == "TRANSPOSE_CONV":
        return c.input(2), c.input(1), c.optional(3)
    return c.input(0), c.input(1), c.optional(2)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, a bias of other types, zero points, weights at run time, batches."""
    data, weights, bias = _tensors(c)
    axis = _AXIS.get(c.op.op, 0)
    reasons = [
        *expect_symmetric(data, what="the input"),
        *expect_symmetric(c.output, what="the output"),
        *expect_weights(weights, weights.shape[axis], axis, dtypes=("int8",)),
        *expect_activation(c),
    ]
    if bias is not None and not _narrow(c):
        kinds = _BIAS.get(c.op.op, ("int64",))
        if bias.dtype not in kinds:
            reasons.append(Reason(f"the bias is {bias.dtype}, expected {' or '.join(kinds)}", _WIDE_BIAS))
    if c.op.op != "FULLY_CONNECTED":
        reasons += expect_batch_1(data)
    elif c.option("weights_format", "DEFAULT") != "DEFAULT":
        reasons.append(Reason(f"weights are {c.option('weights_format')}, expected DEFAULT"))
    if not reasons and c.op.op == "CONV_2D" and data.shape[3] % weights.shape[3]:
        reasons.append(Reason(f"{data.shape[3]} input channels for a filter of {weights.shape[3]}"))
    return reasons


def _narrow(c: OpContext) -> bool:
    """Whether TFLite Micro has sums of 32 bits there: the bias is of 32 bits, or would be."""
    if c.op.op not in ("CONV_2D", "FULLY_CONNECTED"):
        return False
    bias = _tensors(c)[2]
    return (c.option("quantized_bias_type", "FLOAT32") if bias is None else bias.dtype.upper()) == "INT32"


def expect_symmetric(tensor: Tensor, *, what: str) -> list[Reason]:
    """Return reasons unless the tensor is int16 with one scale and the zero point 0."""
    reasons = expect_quantized(tensor, what=what, dtypes=("int16",))
    if not reasons and scalar(tensor)[1] != 0:
        reasons.append(Reason(f"{what} has the zero point {scalar(tensor)[1]}, expected 0", None, "dtype"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    return _fully_connected(c) if c.op.op == "FULLY_CONNECTED" else _windowed(c)


def _fully_connected(c: OpContext) -> Emitted:
    data, weights, _ = _tensors(c)
    outputs, inputs = weights.shape
    requantize = per_output(data, weights, c.output)
    name = "qe_fully_connected_s16" + ("_b32" if _narrow(c) else "")
    return Emitted(
        function=name,
        args=("{params}", "{in0}", "{out0}"),
        kernels=(f"{name}.c",),
        headers=("qe_requantize_s64.h",),
        params=Params(
            f"{name}_params",
            (
                *CHANNELS,
                ("rows", data.elements // inputs),
                ("inputs", inputs),
                ("outputs", outputs),
                ("step", int(requantize.shift.size > 1)),
                *_clamp(c),
            ),
        ),
        arrays=_arrays(c, outputs, requantize),
    )


def _windowed(c: OpContext) -> Emitted:
    data, weights, _ = _tensors(c)
    kind = c.op.op.lower()
    w = window(c, weights.shape[1], weights.shape[2])
    groups = {
        "conv_2d": w.in_channels // weights.shape[3],
        "depthwise_conv_2d": w.out_channels // w.in_channels,
        "transpose_conv": 1,
    }
    position = 2 if kind == "transpose_conv" else 0
    narrow = "_b32" if _narrow(c) else ""
    return Emitted(
        function=f"qe_{kind}_s16{narrow}",
        args=("{params}", f"{{in{position}}}", "{out0}"),
        kernels=(f"qe_{kind}_s16{narrow}.c",),
        headers=("qe_conv_2d_s16.h", "qe_requantize_s64.h"),
        params=Params(
            f"qe_conv_2d_s16{narrow}_params",
            (
                *CHANNELS,
                *w.members("in_height in_width in_channels out_height out_width out_channels"),
                ("groups", groups[kind]),
                *w.members("filter_height filter_width stride_height stride_width"),
                *w.members("dilation_height dilation_width pad_top pad_left"),
                *_clamp(c),
            ),
        ),
        arrays=_arrays(c, w.out_channels, per_channel(data, weights, c.output, w.out_channels)),
        overlap={} if kind == "transpose_conv" else {0: 2 * w.row_lead},
    )


def _clamp(c: OpContext) -> tuple[tuple[str, int], ...]:
    low, high = fused_range(c)
    return ("low", low), ("high", high)


def _arrays(c: OpContext, channels: int, requantize: Requantize) -> tuple[ConstArray, ...]:
    _, weights, bias = _tensors(c)
    codes, sums = constant(weights).reshape(-1), bias_values(bias, channels)
    if _narrow(c):
        return channel_arrays(codes, wrap_int32(sums), requantize.multiplier, requantize.shift)
    return channel_arrays(codes, sums, *halves(requantize))


def halves(requantize: Requantize) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Return (16-bit multiplier, shift to the right) of ``MultiplyByQuantizedMultiplier`` for 64-bit sums.

    A shift below 0 becomes 0, which no kernel takes: the proof of the parameters refuses it.
    """
    wide = requantize.multiplier.astype(np.int64)
    multiplier = np.where(wide < 0x7FFF0000, (wide + (1 << 15)) >> 16, 0x7FFF).astype(np.int16)
    shift = 15 - requantize.shift.astype(np.int64)
    return multiplier, np.clip(shift, 0, 255).astype(np.uint8)
