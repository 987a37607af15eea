"""CONV_2D: int8; any filter, stride, dilation and number of groups; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge_mcu.ops import conv_2d_dsp, mve, overlap
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Reason,
    Ref,
    activation_range,
    constant,
    expect_activation,
    expect_quantized,
    expect_type,
    same_padding,
    scalar,
)
from qedge_mcu.ops.requantize import bias_values, by_fours, expect_weights, per_channel, wrap_int32

NAMES = ("CONV_2D",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, weights at run time, batches, channels that do not divide."""
    data, weights, bias = c.input(0), c.input(1), c.optional(2)
    reasons = [
        *expect_quantized(data, what="the input"),
        *expect_quantized(c.output, what="the output"),
        *expect_weights(weights, weights.shape[0], 0, dtypes=("int8",)),
        *expect_activation(c),
    ]
    if bias is not None:
        reasons += expect_type(bias, "int32", what="the bias")
    if data.shape[0] != 1:
        reasons.append(Reason(f"batch is {data.shape[0]}, expected 1", "convert the model with batch 1"))
    if data.shape[3] % weights.shape[3]:
        reasons.append(Reason(f"{data.shape[3]} input channels for a filter of {weights.shape[3]}"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call of the kernel for the core's extension where it applies, else of the general one."""
    special = mve.conv_2d(c) if c.core.family == "mve" else None
    if special is None and c.core.family != "portable":
        special = conv_2d_dsp.emit(c)
    return special or _general(c)


def _general(c: OpContext) -> Emitted:
    data, weights, output = c.input(0), c.input(1), c.output
    _, in_height, in_width, in_channels = data.shape
    _, out_height, out_width, out_channels = output.shape
    _, filter_height, filter_width, depth = weights.shape
    stride = (int(c.option("stride_h", 1)), int(c.option("stride_w", 1)))
    dilation = (int(c.option("dilation_h_factor", 1)), int(c.option("dilation_w_factor", 1)))
    pad = (0, 0)
    if c.option("padding") == "SAME":
        pad = (
            same_padding(in_height, filter_height, stride[0], dilation[0], out_height),
            same_padding(in_width, filter_width, stride[1], dilation[1], out_width),
        )
    requantize = per_channel(data, weights, output, out_channels)
    groups = in_channels // depth
    rows = constant(weights).reshape(groups, out_channels // groups, -1)
    scale, zero_out = scalar(output)
    low, high = activation_range(c.option("fused_activation_function", "NONE"), scale, zero_out)
    return Emitted(
        function="qe_conv_2d_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_conv_2d_s8.c", "qe_dot_s8.c"),
        params=Params(
            "qe_conv_2d_params",
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
                ("groups", groups),
                ("filter_height", filter_height),
                ("filter_width", filter_width),
                ("stride_height", stride[0]),
                ("stride_width", stride[1]),
                ("dilation_height", dilation[0]),
                ("dilation_width", dilation[1]),
                ("pad_top", pad[0]),
                ("pad_left", pad[1]),
                ("input_offset", -scalar(data)[1]),
                ("output_zero_point", zero_out),
                ("low", low),
                ("high", high),
            ),
        ),
        arrays=(
            ConstArray("weights", by_fours(rows), "weights"),
            ConstArray("bias", wrap_int32(bias_values(c.optional(2), out_channels)), "bias"),
            ConstArray("multiplier", requantize.multiplier),
            ConstArray("shift", requantize.shift),
        ),
        overlap={
            0: overlap.window(
                out_rows=out_height,
                out_row_bytes=out_width * out_channels,
                in_row_bytes=in_width * in_channels,
                stride=stride[0],
                pad=pad[0],
                in_rows=in_height,
            )
        },
    )
