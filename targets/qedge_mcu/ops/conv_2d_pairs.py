"""CONV_2D for cores without instructions for signal processing: which layers take two pixels at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    constant,
    output_members,
    scalar,
)
from qedge_mcu.ops.geometry import Window, window
from qedge_mcu.ops.requantize import CHANNELS, bias_values, channel_arrays, per_channel, wrap_int32

Weights = npt.NDArray[np.int64]

SMALL_BYTES = 1024
"""Working memory that a layer may take whatever the size of its tensors."""


def emit(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None where it does not apply: to several groups, to what `call` does not
    take, and to layers that are too small for its working memory.
    """
    data, weights, output = c.input(0), c.input(1), c.output
    w = window(c, weights.shape[1], weights.shape[2])
    if weights.shape[3] != w.in_channels:
        return None
    found = call(c, w, constant(weights).reshape(w.out_channels, -1).astype(np.int64))
    if found is None or found.scratch_bytes > max(SMALL_BYTES, (data.elements + output.elements) // 3):
        return None
    return found


def call(c: OpContext, w: Window, values: Weights) -> Emitted | None:
    """Return the call for weights (outputs, inputs of a window), or None.

    It takes no dilation, outputs by fours, shifts to the right, and weights of which no two neighbours are both -128.
    """
    data, weights, output = c.input(0), c.input(1), c.output
    requantize = per_channel(data, weights, output, w.out_channels)
    if w.out_channels % 4 or np.any(requantize.shift > 0) or (w.dilation_height, w.dilation_width) != (1, 1):
        return None
    pairs = pair_order(values)
    if np.any((pairs.reshape(-1, 2) == -128).all(axis=1)):
        return None
    bias = bias_values(c.optional(2), w.out_channels) - scalar(data)[1] * values.sum(axis=1)
    lead = w.row_lead
    if w.is_pointwise:
        lead = overlap.pixels(
            count=w.out_height * w.out_width,
            out_bytes=w.out_channels,
            in_bytes=w.in_channels,
            group=2,
            buffered=True,
        )
    return Emitted(
        function="qe_conv_2d_pairs_s8",
        args=("{params}", "{in0}", "{out0}", "{scratch}"),
        kernels=("qe_conv_2d_pairs_s8.c", "qe_dot_2x4_s8.c"),
        params=Params(
            "qe_conv_2d_pairs_params",
            (
                *CHANNELS,
                *w.members("in_height in_width in_channels out_height out_width out_channels"),
                *w.members("filter_height filter_width stride_height stride_width pad_top pad_left"),
                ("input_zero_point", scalar(data)[1]),
                *output_members(c),
            ),
        ),
        arrays=channel_arrays(
            pairs,
            wrap_int32(bias),
            requantize.multiplier,
            requantize.shift,
            overhead=pairs.size - values.size,
        ),
        scratch_bytes=4 * (values.shape[1] + 1),
        overlap={0: lead},
        note="two pixels by four channels at a time",
    )


def pair_order(values: Weights) -> npt.NDArray[np.int8]:
    """Return weights (outputs by fours, inputs) flat, as ``qe_conv_2d_pairs_s8.h`` says.

    >>> pair_order(np.arange(12).reshape(4, 3)).tolist()
    [0, 1, 3, 4, 6, 7, 9, 10, 2, 0, 5, 0, 8, 0, 11, 0]
    """
    outputs, inputs = values.shape
    padded = np.pad(values, ((0, 0), (0, inputs % 2))).astype(np.int8)
    return padded.reshape(outputs // 4, 4, -1, 2).transpose(0, 2, 1, 3).reshape(-1)
