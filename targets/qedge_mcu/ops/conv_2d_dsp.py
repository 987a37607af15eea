"""CONV_2D for the DSP extension: which convolutions it takes, and their stream of weights."""

from __future__ import annotations

import numpy as np

from qedge_mcu.ops import dsp, overlap
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Ref,
    constant,
    fused_range,
    scalar,
)
from qedge_mcu.ops.geometry import window
from qedge_mcu.ops.requantize import bias_values, per_channel

LONG_ROW = 16
"""``QE_CONV_2D_LONG_ROW`` of ``qe_conv_2d_s8_dsp.h``."""


def emit(c: OpContext) -> Emitted | None:
    """Return the call of the DSP kernel, or None where it does not apply.

    It takes one group, no dilation, an even number of output channels and windows up to 65,535 bytes,
    as long as the sums and shifts fit (`dsp.channel_words`, `dsp.pair_stream`).
    """
    data, weights, output = c.input(0), c.input(1), c.output
    w = window(c, weights.shape[1], weights.shape[2])
    taps = w.filter_width * w.in_channels
    depth = -(-w.filter_height * taps // 4) * 4
    if w.out_channels % 2 or weights.shape[3] != w.in_channels or depth > 65535:
        return None
    if (w.dilation_height, w.dilation_width) != (1, 1):
        return None
    values = constant(weights).astype(np.int64)
    zero_in = scalar(data)[1]
    bias = bias_values(c.optional(2), w.out_channels) - zero_in * values.sum(axis=(1, 2, 3))
    requantize = per_channel(data, weights, output, w.out_channels)
    zero_out = scalar(output)[1]
    low, high = fused_range(c)
    out = dsp.Output(zero_out, low, high)
    channels = dsp.channel_words(128 * np.abs(values).sum(axis=(1, 2, 3)), bias, requantize, out)
    if channels is None:
        return None
    values[channels.fixed] = 0
    padded = np.zeros((w.out_channels, depth), np.int8)
    padded[:, : w.filter_height * taps] = values.reshape(w.out_channels, -1)
    stream = dsp.pair_stream(padded, channels.words)
    if stream is None:
        return None
    scratch = 4 * depth
    if w.is_pointwise:
        function = "qe_conv_2d_1x1_s8_dsp"
        lead = overlap.pixels(
            count=w.out_height * w.out_width,
            out_bytes=w.out_channels,
            in_bytes=w.in_channels,
            group=2,
            buffered=True,
        )
    else:
        function = "qe_conv_2d_s8_dsp"
        scratch += 2 * (depth if taps % 4 or taps < LONG_ROW else taps)
        lead = w.row_lead
    return Emitted(
        function=function,
        args=("{params}", "{in0}", "{out0}", "{scratch}"),
        kernels=("qe_conv_2d_s8_dsp.c", "qe_dot_dsp.c"),
        headers=("qe_dsp.h",),
        params=Params(
            "qe_conv_2d_dsp_params",
            (
                ("weights", Ref("weights")),
                ("depth", depth),
                *w.members("in_height in_width in_channels out_height out_width out_channels"),
                *w.members("filter_height filter_width stride_height stride_width pad_top pad_left"),
                ("input_zero_point", zero_in),
                ("output_zero_point", zero_out),
                ("low", low),
                ("high", high),
            ),
        ),
        arrays=(dsp.stream_array("weights", stream, values.size + 4 * w.out_channels, (depth // 2, 4)),),
        defines=dsp.defines(out),
        scratch_bytes=scratch,
        overlap={0: lead},
        note="two pixels by two channels at a time",
    )
