"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED for Helium: weights and requantisation in one stream a layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Ref,
    constant,
    output_members,
    scalar,
)
from qedge_mcu.ops.depthwise_conv_2d_dsp import flat
from qedge_mcu.ops.geometry import window
from qedge_mcu.ops.requantize import Requantize, bias_values, per_channel, per_output, wrap_int32

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

EIGHT = (0, 2, 4, 6, 1, 3, 5, 7)
"""The order of 8 outputs: narrowing puts vectors of four into even and odd lanes."""

FILL_BYTES = 128
"""How many zeros a layer's weights may be filled up with to spare the rest of its inputs a loop of their own."""


def conv_2d(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None where it does not apply.

    It takes int8 weights, no dilation, one group, windows up to 65,535 bytes and shifts to the right.
    """
    data, weights, output = c.input(0), c.input(1), c.output
    w = window(c, weights.shape[1], weights.shape[2])
    depth = w.filter_height * w.filter_width * w.in_channels
    requantize = per_channel(data, weights, output, w.out_channels)
    if (w.dilation_height, w.dilation_width) != (1, 1) or weights.shape[3] != w.in_channels or depth > 65535:
        return None
    if np.any(requantize.shift > 0) or weights.dtype != "int8":
        return None
    values = constant(weights).reshape(w.out_channels, depth).astype(np.int64)
    if w.is_pointwise:
        lead = overlap.pixels(
            count=w.out_height * w.out_width,
            out_bytes=w.out_channels,
            in_bytes=w.in_channels,
            group=1,
            buffered=False,
        )
        return _matrix(c, w.out_height * w.out_width, values, requantize, {0: lead})
    return Emitted(
        function="qe_conv_2d_s8_mve",
        args=("{params}", "{in0}", "{out0}", "{scratch}"),
        kernels=("qe_conv_2d_s8_mve.c", "qe_matrix_s8_mve.c"),
        headers=("qe_mve.h",),
        params=Params(
            "qe_conv_2d_mve_params",
            (
                ("stream", Ref("stream")),
                ("part", _part(*values.shape)),
                ("outputs", w.out_channels),
                *w.members("in_height in_width in_channels out_height out_width"),
                *w.members("filter_height filter_width stride_height stride_width pad_top pad_left"),
                ("input_zero_point", scalar(data)[1]),
                *output_members(c),
            ),
        ),
        arrays=(_matrix_stream(c, values, requantize),),
        defines=_defines(c) | _odd(w.out_channels),
        scratch_bytes=depth,
        overlap={0: w.row_lead},
    )


def fully_connected(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None for int4 weights and for shifts to the left."""
    data, weights, output = c.input(0), c.input(1), c.output
    outputs, inputs = weights.shape
    if weights.dtype != "int8" or inputs > 65535:
        return None
    requantize = per_output(data, weights, output).repeated(outputs)
    if np.any(requantize.shift > 0):
        return None
    return _matrix(c, data.elements // inputs, constant(weights).astype(np.int64), requantize, {})


def depthwise_conv_2d(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None where it does not apply.

    It takes int8 weights, no dilation, depth multiplier 1, channels by eights and shifts to the right.
    """
    data, weights, output = c.input(0), c.input(1), c.output
    w = flat(window(c, weights.shape[1], weights.shape[2]))
    if (
        w.in_channels != w.out_channels
        or w.in_channels % 8
        or (w.dilation_height, w.dilation_width) != (1, 1)
    ):
        return None
    requantize = per_channel(data, weights, output, w.out_channels)
    if np.any(requantize.shift > 0) or weights.dtype != "int8":
        return None
    values = constant(weights).reshape(-1, w.out_channels).astype(np.int64)
    bias = bias_values(c.optional(2), w.out_channels) - scalar(data)[1] * values.sum(axis=0)
    stream = depthwise_stream(values, wrap_int32(bias), requantize)
    return Emitted(
        function="qe_depthwise_conv_2d_s8_mve",
        args=("{params}", "{in0}", "{out0}", "{scratch}"),
        kernels=("qe_depthwise_conv_2d_s8_mve.c",),
        headers=("qe_mve.h",),
        params=Params(
            "qe_depthwise_conv_2d_mve_params",
            (
                ("stream", Ref("stream")),
                *w.members("in_height in_width out_height out_width"),
                ("channels", w.out_channels),
                *w.members("filter_height filter_width stride_height stride_width pad_top pad_left"),
                ("input_zero_point", scalar(data)[1]),
                *output_members(c),
            ),
        ),
        arrays=(_stream_array(stream, values.size, w.out_channels),),
        defines=_defines(c) | ({"QE_MVE_DEPTHWISE_3X3"} if weights.shape[1:3] == (3, 3) else set()),
        scratch_bytes=8 * (3 * w.filter_height + 2),
        overlap={0: w.row_lead},
    )


def matrix_stream(values: Int64s, bias: npt.NDArray[np.int32], requantize: Requantize) -> Bytes:
    """Return the stream of ``qe_matrix_s8_mve.h``.

    Args:
        values: weights, shape (outputs, depth).
        bias: the input's zero point folded in, shape (outputs,).
        requantize: shifts of 0 or to the right, shape (outputs,).
    """
    outputs, depth = values.shape
    part = _part(outputs, depth)
    blocks = -(-part // 16)
    weights = values.astype(np.int8).view(np.uint8)
    order = np.arange(outputs)
    whole = outputs // 8 * 8
    order[:whole] = order[:whole].reshape(-1, 8)[:, EIGHT].reshape(-1)
    parts: list[Bytes] = []
    for first in range(0, outputs // 4 * 4, 4):
        four = order[first : first + 4]
        filled = np.zeros((4, 16 * blocks), np.uint8)
        filled[:, :part] = weights[four, :part]
        parts += [
            _raw(bias[four]),
            filled.reshape(4, blocks, 16).transpose(1, 0, 2).reshape(-1),
            weights[four, part:].reshape(-1),
            _raw(requantize.multiplier[four]),
            _raw(requantize.shift[four]),
        ]
    left = np.arange(outputs // 4 * 4, outputs)
    for one in left[::-1]:
        parts += [_raw(bias[one : one + 1]), np.pad(weights[one], (0, -depth % 16))]
    if left.size:
        missing = (0, 4 - left.size)
        parts += [_raw(np.pad(requantize.multiplier[left], missing))]
        parts += [_raw(np.pad(requantize.shift[left], missing))]
    return np.concatenate(parts)


def depthwise_stream(values: Int64s, bias: npt.NDArray[np.int32], requantize: Requantize) -> Bytes:
    """Return the stream of ``qe_depthwise_conv_2d_s8_mve.h``.

    Args:
        values: weights, shape (taps, channels), channels by eights.
        bias: the input's zero point folded in, shape (channels,).
        requantize: shifts of 0 or to the right, shape (channels,).
    """
    weights = values.astype(np.int8).view(np.uint8)
    parts: list[Bytes] = []
    for first in range(0, values.shape[1], 8):
        even, odd = slice(first, first + 8, 2), slice(first + 1, first + 8, 2)
        parts += [_raw(bias[even]), _raw(bias[odd]), weights[:, first : first + 8].reshape(-1)]
        for half in (even, odd):
            parts += [_raw(requantize.multiplier[half]), _raw(requantize.shift[half])]
    return np.concatenate(parts)


def _raw(values: npt.NDArray[np.int32] | npt.NDArray[np.int8]) -> Bytes:
    return np.frombuffer(values.astype(values.dtype.newbyteorder("<")).tobytes(), np.uint8)


def _part(outputs: int, depth: int) -> int:
    """Return how many inputs are taken by 16: all where filling up costs little, else the whole sixteens."""
    return depth if -depth % 16 * outputs <= FILL_BYTES else depth // 16 * 16


def _matrix(
    c: OpContext, rows: int, values: Int64s, requantize: Requantize, leads: dict[int, int]
) -> Emitted:
    outputs, depth = values.shape
    return Emitted(
        function="qe_matrix_s8_mve",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_matrix_s8_mve.c",),
        headers=("qe_mve.h",),
        params=Params(
            "qe_matrix_params",
            (
                ("stream", Ref("stream")),
                ("rows", rows),
                ("depth", depth),
                ("part", _part(outputs, depth)),
                ("outputs", outputs),
                *output_members(c),
            ),
        ),
        arrays=(_matrix_stream(c, values, requantize),),
        defines=_defines(c) | _odd(outputs),
        overlap=leads,
    )


def _matrix_stream(c: OpContext, values: Int64s, requantize: Requantize) -> ConstArray:
    """Return the constants of a matrix product, the input's zero point folded into the bias."""
    bias = bias_values(c.optional(2), len(values)) - scalar(c.input(0))[1] * values.sum(axis=1)
    return _stream_array(matrix_stream(values, wrap_int32(bias), requantize), values.size, len(values))


def _stream_array(stream: Bytes, weights: int, outputs: int) -> ConstArray:
    """Return a stream with the model's own weights and biases in it as words."""
    return ConstArray(
        "stream",
        stream.view("<u4").astype(np.uint32),
        "weights",
        overhead=stream.size - weights - 4 * outputs,
    )


def _defines(c: OpContext) -> frozenset[str]:
    """Return the macros of ``qe_mve.h`` that an operator needs."""
    clamp = dict(output_members(c))
    found = set()
    if clamp["low"] != clamp["output_zero_point"]:
        found.add("QE_MVE_SIGNED")
    if (clamp["low"], clamp["high"]) != (-128, 127):
        found.add("QE_MVE_CLAMP")
    return frozenset(found)


def _odd(outputs: int) -> frozenset[str]:
    """Return the macro of ``qe_matrix_s8_mve.h`` for outputs that are left over after fours."""
    return frozenset({"QE_MVE_ODD"} if outputs % 4 else ())
