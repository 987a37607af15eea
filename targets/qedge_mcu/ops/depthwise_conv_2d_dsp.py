"""DEPTHWISE_CONV_2D for the DSP extension: which layers its kernels take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qedge_mcu.ops import dsp
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Ref,
    Value,
    constant,
    fused_range,
    scalar,
)
from qedge_mcu.ops.geometry import Window, window
from qedge_mcu.ops.requantize import bias_values, per_channel


def emit(c: OpContext) -> Emitted | None:
    """Return the call of a DSP kernel, or None where none applies.

    They take no dilation, depth multiplier 1 and a multiple of 4 channels, as long as the sums and shifts fit
    (`dsp.channel_words`); 3x3 filters with stride 1 or 2 have a kernel of their own.
    """
    data, weights, output = c.input(0), c.input(1), c.output
    w = flat(window(c, weights.shape[1], weights.shape[2]))
    if (
        w.in_channels != w.out_channels
        or w.in_channels % 4
        or (w.dilation_height, w.dilation_width) != (1, 1)
    ):
        return None
    fast = (w.filter_height, w.filter_width) == (3, 3)
    fast = fast and (w.stride_height, w.stride_width) in ((1, 1), (2, 2))
    values = constant(weights).reshape(-1, w.out_channels).astype(np.int64)
    bias = bias_values(c.optional(2), w.out_channels)
    zero_out = scalar(output)[1]
    low, high = fused_range(c)
    out = dsp.Output(zero_out, low, high)
    requantize = per_channel(data, weights, output, w.out_channels)
    # The general kernel subtracts the zero point from each value, so that a sum reaches up to 255 times.
    reach = (128 if fast else 255) * np.abs(values).sum(axis=0)
    if fast:
        bias -= scalar(data)[1] * values.sum(axis=0)
    channels = dsp.channel_words(reach, bias, requantize, out, shift_bits=5)
    if channels is None:
        return None
    values[:, channels.fixed] = 0
    arrays = (
        ConstArray("weights", values.astype(np.int8).reshape(-1), "weights"),
        dsp.stream_array("requantize", channels.words.reshape(-1), 4 * w.out_channels),
    )
    zero_points = (("input_zero_point", scalar(data)[1]), ("output_zero_point", zero_out))
    clamp = (("low", low), ("high", high))
    sizes: tuple[tuple[str, Value], ...] = (
        ("weights", Ref("weights")),
        ("requantize", Ref("requantize")),
        *w.members("in_height in_width out_height out_width"),
        ("channels", w.out_channels),
    )
    padding = (("pad_top", w.pad_top), ("pad_left", w.pad_left))
    if fast:
        columns = w.stride_width * (w.out_width - 1) + 3
        # Before a group of channels writes its part of an output row, it has read that of all input rows that
        # the output row can lie on; other channels are not touched.
        in_place = w.out_width <= w.in_width and w.out_height <= w.in_height and w.pad_top <= 2
        return Emitted(
            function="qe_depthwise_3x3_s8_dsp",
            args=("{params}", "{in0}", "{out0}", "{scratch}"),
            kernels=("qe_depthwise_3x3_s8_dsp.c",),
            headers=("qe_dsp.h",),
            params=Params(
                "qe_depthwise_3x3_dsp_params",
                (*sizes, ("stride", w.stride_height), *padding, *zero_points, *clamp),
            ),
            arrays=arrays,
            defines=dsp.defines(out, "QE_DEPTHWISE_SIGNED") | {f"QE_DEPTHWISE_STRIDE_{w.stride_height}"},
            scratch_bytes=32 * columns + 144,
            overlap={0: 0} if in_place else {},
            in_place=frozenset({0} if in_place else ()),
            note="two rows in the halves of a word",
        )
    window_members = (*w.members("filter_height filter_width stride_height stride_width"),)
    return Emitted(
        function="qe_depthwise_conv_2d_s8_dsp",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_depthwise_conv_2d_s8_dsp.c",),
        headers=("qe_dsp.h",),
        params=Params(
            "qe_depthwise_conv_2d_dsp_params",
            (*sizes, *window_members, *padding, *zero_points, *clamp),
        ),
        arrays=arrays,
        defines=dsp.defines(out, "QE_DEPTHWISE_SIGNED"),
        overlap={0: w.row_lead},
        note="four channels at a time",
    )


def flat(w: Window) -> Window:
    """Return a window one pixel wide as one of one row, whose taps are the kernel's inner loop."""
    if w.in_width != 1 or w.filter_width != 1:
        return w
    return replace(
        w,
        in_height=1,
        in_width=w.in_height,
        out_height=1,
        out_width=w.out_height,
        filter_height=1,
        filter_width=w.filter_height,
        stride_height=1,
        stride_width=w.stride_height,
        pad_top=0,
        pad_left=w.pad_top,
    )
