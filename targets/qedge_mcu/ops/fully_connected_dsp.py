"""FULLY_CONNECTED for the DSP extension: which layers it takes, and their stream of weights."""

from __future__ import annotations

import numpy as np

from qedge_mcu.ops import dsp
from qedge_mcu.ops.base import Emitted, OpContext, Params, Ref, constant, fused_range, scalar
from qedge_mcu.ops.requantize import bias_values, per_output
from qedge_mcu.ops.unpack import large


def emit(c: OpContext) -> Emitted | None:
    """Return the call of the DSP kernel, or None where it does not apply.

    It takes a multiple of 4 inputs, as long as the sums and shifts fit (`dsp.channel_words`, `dsp.quad_stream`),
    and int4 weights of small layers.
    """
    data, weights, output = c.input(0), c.input(1), c.output
    outputs, inputs = weights.shape
    if inputs % 4 or large(weights):
        return None
    requantize = per_output(data, weights, output).repeated(outputs)
    values = constant(weights).astype(np.int64)
    bias = bias_values(c.optional(2), outputs) - scalar(data)[1] * values.sum(axis=1)
    zero_out = scalar(output)[1]
    low, high = fused_range(c)
    out = dsp.Output(zero_out, low, high)
    channels = dsp.channel_words(128 * np.abs(values).sum(axis=1), bias, requantize, out)
    if channels is None:
        return None
    values[channels.fixed] = 0
    shared = channels.multiplier
    words = channels.words if shared is None else channels.words[:, :1]
    stream = dsp.quad_stream(values.astype(np.int8), words)
    if stream is None:
        return None
    return Emitted(
        function="qe_fully_connected_s8_dsp",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_fully_connected_s8_dsp.c", "qe_dot_4_dsp.c"),
        headers=("qe_dsp.h", "qe_dot_dsp.h"),
        params=Params(
            "qe_fully_connected_dsp_params",
            (
                ("weights", Ref("weights")),
                ("multiplier", shared or 0),
                ("rows", data.elements // inputs),
                ("inputs", inputs),
                ("outputs", outputs),
                ("output_zero_point", zero_out),
                ("low", low),
                ("high", high),
            ),
        ),
        arrays=(
            dsp.stream_array("weights", stream, values.size + 4 * outputs, (inputs, 4 * words.shape[1])),
        ),
        defines=dsp.defines(out, "QE_DOT_4_SIGNED")
        | {"QE_DOT_4_CHANNELS" if shared is None else "QE_DOT_4_SHARED"},
        note="four channels at a time",
    )
