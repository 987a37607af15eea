"""TRANSPOSE_CONV: int8, per channel; any filter and stride; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Reason,
    Ref,
    constant,
    fused_range,
    same_padding,
    scalar,
)
from qedge_mcu.ops.geometry import expect_batch_1
from qedge_mcu.ops.requantize import bias_values, expect_weighted_sum, per_channel, wrap_int32

NAMES = ("TRANSPOSE_CONV",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, weights at run time, batches."""
    weights, data, bias = c.input(1), c.input(2), c.optional(3)
    return [*expect_weighted_sum(c, data, weights, bias), *expect_batch_1(data)]


def emit(c: OpContext) -> Emitted:
    """Return the call; every output value gathers its inputs, so there is no accumulator image."""
    weights, data, output = c.input(1), c.input(2), c.output
    _, in_height, in_width, in_channels = data.shape
    _, out_height, out_width, out_channels = output.shape
    _, filter_height, filter_width, _ = weights.shape
    stride = (int(c.option("stride_h", 1)), int(c.option("stride_w", 1)))
    pad = (0, 0)
    if c.option("padding", "SAME") == "SAME":
        pad = (
            same_padding(out_height, filter_height, stride[0], 1, -(-out_height // stride[0])),
            same_padding(out_width, filter_width, stride[1], 1, -(-out_width // stride[1])),
        )
    requantize = per_channel(data, weights, output, out_channels)
    zero_out = scalar(output)[1]
    low, high = fused_range(c)
    return Emitted(
        function="qe_transpose_conv_s8",
        args=("{params}", "{in2}", "{out0}"),
        kernels=("qe_transpose_conv_s8.c",),
        params=Params(
            "qe_transpose_conv_params",
            (
                ("weights", Ref("weights")),
                ("bias", Ref("bias")),
                ("multiplier", Ref("multiplier")),
                ("shift", Ref("shift")),
                ("in_height", in_height),
                ("in_width", in_width),
                ("in_channels", in_channels),
                ("out_height", out_height),
                ("out_width", out_width),
                ("out_channels", out_channels),
                ("filter_height", filter_height),
                ("filter_width", filter_width),
                ("stride_height", stride[0]),
                ("stride_width", stride[1]),
                ("pad_top", pad[0]),
                ("pad_left", pad[1]),
                ("input_offset", -scalar(data)[1]),
                ("output_zero_point", zero_out),
                ("low", low),
                ("high", high),
            ),
        ),
        arrays=(
            ConstArray("weights", constant(weights).reshape(-1), "weights"),
            ConstArray("bias", wrap_int32(bias_values(c.optional(3), out_channels)), "bias"),
            ConstArray("multiplier", requantize.multiplier),
            ConstArray("shift", requantize.shift),
        ),
    )
