"""TRANSPOSE_CONV: int8, per channel; any filter and stride; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge_mcu.ops import vector
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    constant,
    output_members,
    scalar,
)
from qedge_mcu.ops.geometry import expect_batch_1, window
from qedge_mcu.ops.requantize import (
    CHANNELS,
    bias_values,
    channel_arrays,
    expect_weighted_sum,
    per_channel,
    wrap_int32,
)

NAMES = ("TRANSPOSE_CONV",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, weights at run time, batches."""
    weights, data, bias = c.input(1), c.input(2), c.optional(3)
    return [*expect_weighted_sum(c, data, weights, bias), *expect_batch_1(data)]


def emit(c: OpContext) -> Emitted:
    """Return the call; every output value gathers its inputs, so there is no accumulator image."""
    weights, data, output = c.input(1), c.input(2), c.output
    w = window(c, weights.shape[1], weights.shape[2])
    requantize = per_channel(data, weights, output, w.out_channels)
    bias = wrap_int32(bias_values(c.optional(3), w.out_channels))
    portable = Emitted(
        function="qe_transpose_conv_s8",
        args=("{params}", "{in2}", "{out0}"),
        kernels=("qe_transpose_conv_s8.c",),
        params=Params(
            "qe_transpose_conv_params",
            (
                *CHANNELS,
                *w.members("in_height in_width in_channels out_height out_width out_channels"),
                *w.members("filter_height filter_width stride_height stride_width pad_top pad_left"),
                ("input_offset", -scalar(data)[1]),
                *output_members(c),
            ),
        ),
        arrays=channel_arrays(constant(weights).reshape(-1), bias, requantize.multiplier, requantize.shift),
    )
    return vector.transpose_conv(c, portable)
