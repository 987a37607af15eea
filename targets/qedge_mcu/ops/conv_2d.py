"""CONV_2D: int8 or int4 weights; any filter, stride, dilation and number of groups; bit-exact to TFLite Micro."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from qedge_mcu.cores import Family
from qedge_mcu.ops import conv_2d_dsp, conv_2d_pairs, mve, vector
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
    by_fours,
    channel_arrays,
    expect_weighted_sum,
    per_channel,
    wrap_int32,
)
from qedge_mcu.ops.unpack import WEIGHTS
from qedge_mcu.structs import first_that_fits

NAMES = ("CONV_2D",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, weights at run time, batches, channels that do not divide."""
    data, weights, bias = c.input(0), c.input(1), c.optional(2)
    reasons = [*expect_weighted_sum(c, data, weights, bias, dtypes=WEIGHTS), *expect_batch_1(data)]
    if data.shape[3] % weights.shape[3]:
        reasons.append(Reason(f"{data.shape[3]} input channels for a filter of {weights.shape[3]}"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call of the kernel for the core's extension where it applies, else of the general one."""
    return first_that_fits(*(partial(kernel, c) for kernel in (*_SPECIAL[c.core.family], _general)))


def _general(c: OpContext) -> Emitted:
    data, weights, output = c.input(0), c.input(1), c.output
    w = window(c, weights.shape[1], weights.shape[2])
    requantize = per_channel(data, weights, output, w.out_channels)
    groups = w.in_channels // weights.shape[3]
    rows = constant(weights).reshape(groups, w.out_channels // groups, -1)
    bias = wrap_int32(bias_values(c.optional(2), w.out_channels))
    portable = Emitted(
        function="qe_conv_2d_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_conv_2d_s8.c", "qe_dot_s8.c"),
        headers=("qe_dot_4_plain.h",),
        params=Params(
            "qe_conv_2d_params",
            (
                *CHANNELS,
                *w.members("in_height in_width in_channels out_height out_width out_channels"),
                ("groups", groups),
                *w.members("filter_height filter_width stride_height stride_width"),
                *w.members("dilation_height dilation_width pad_top pad_left"),
                ("input_offset", -scalar(data)[1]),
                *output_members(c),
            ),
        ),
        arrays=channel_arrays(
            by_fours(rows),
            bias,
            requantize.multiplier,
            requantize.shift,
        ),
        overlap={0: w.row_lead},
    )
    return vector.with_dots(c, portable)


_SPECIAL: Mapping[Family, tuple[Callable[[OpContext], Emitted | None], ...]] = {
    "mve": (mve.conv_2d, conv_2d_dsp.emit),
    "dsp": (conv_2d_dsp.emit,),
    "portable": (conv_2d_pairs.emit,),
    "vector": (vector.conv_2d,),
}
