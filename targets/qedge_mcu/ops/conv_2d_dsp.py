"""CONV_2D for the DSP extension: which convolutions it takes, and their stream of weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qedge_mcu.ops import dsp, overlap
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Ref,
    Value,
    constant,
    fused_range,
    scalar,
)
from qedge_mcu.ops.geometry import window
from qedge_mcu.ops.requantize import bias_values, per_channel


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
    stream = dsp.pair_stream(_by_words(values.reshape(w.out_channels, w.filter_height, taps)), channels.words)
    if stream is None:
        return None
    params: tuple[tuple[str, Value], ...] = (
        ("weights", Ref("weights")),
        ("depth", depth),
        *w.members("in_height in_width in_channels out_height out_width out_channels"),
        *w.members("filter_height filter_width stride_height stride_width pad_top pad_left"),
        ("input_zero_point", zero_in),
        ("output_zero_point", zero_out),
        ("low", low),
        ("high", high),
    )
    array = dsp.stream_array("weights", stream, values.size + 4 * w.out_channels, (depth // 2, 4))
    rest = {"QE_CONV_2D_REST"} if taps % 4 else set()

    def call(pixels: int) -> Emitted:
        size = f"{pixels}X2"
        scratch = 2 * pixels * depth  # columns
        if w.is_pointwise:
            function = "qe_conv_2d_1x1_s8_dsp"
            lead = overlap.pixels(
                count=w.out_height * w.out_width,
                out_bytes=w.out_channels,
                in_bytes=w.in_channels,
                group=pixels,
                buffered=True,
            )
        else:
            function, lead = "qe_conv_2d_s8_dsp", w.row_lead
            left_over = -(-w.filter_height * (taps % 4) // 4) * 4
            scratch += pixels * (left_over + (taps if w.padded else 0))
        return Emitted(
            function=function,
            args=("{params}", "{in0}", "{out0}", "{scratch}"),
            kernels=("qe_conv_2d_s8_dsp.c", f"qe_dot_{size.lower()}_dsp.c"),
            headers=("qe_dsp.h", "qe_dot_dsp.h"),
            params=Params("qe_conv_2d_dsp_params", (*params, ("pixels", pixels))),
            arrays=(array,),
            defines=dsp.defines(out, f"QE_DOT_{size}_SIGNED", f"QE_DOT_{size}_PLAIN") | rest,
            scratch_bytes=scratch,
            overlap={0: lead},
            note=f"{('two', 'three')[pixels - 2]} pixels by two channels at a time",
        )

    if w.out_height * w.out_width <= 2:
        return call(2)
    return replace(call(3), smaller=call(2))


def _by_words(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """Return the taps of each channel in the order of the columns: of every row the whole words, then, byte by
    byte, what is left over of all.

    Args:
        values: shape (channels, rows, taps of a row).

    Returns:
        Shape (channels, depth), filled up to a multiple of 4 with 0.
    """
    count, rows, taps = values.shape
    whole = taps // 4 * 4
    ordered = [
        values[:, :, :whole].reshape(count, -1),
        values[:, :, whole:].transpose(0, 2, 1).reshape(count, -1),
    ]
    padding = np.zeros((count, -rows * taps % 4), np.int64)
    return np.concatenate([*ordered, padding], axis=1).astype(np.int8)
