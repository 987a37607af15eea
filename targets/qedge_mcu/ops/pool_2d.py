"""AVERAGE_POOL_2D and MAX_POOL_2D: int8; bit-exact to TFLite Micro."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qedge_mcu.ops import vector
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    expect_activation,
    expect_quantized,
    fused_range,
    scalar,
)
from qedge_mcu.ops.geometry import expect_batch_1, window

DSP_PIXELS = 255
"""The most int8 values whose sum surely fits 16 bits."""
NAMES = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, batches, a change of scale."""
    return expect_pool(c, "int8")


def expect_pool(c: OpContext, dtype: str) -> list[Reason]:
    """Return reasons unless a window over ``dtype`` can be pooled."""
    reasons = [
        *expect_quantized(c.input(0), what="the input", dtypes=(dtype,)),
        *expect_quantized(c.output, what="the output", dtypes=(dtype,)),
        *expect_activation(c),
        *expect_batch_1(c.input(0)),
    ]
    return reasons or _expect_one_scale(c)


def _expect_one_scale(c: OpContext) -> list[Reason]:
    """Return a reason unless input and output are quantised alike, as TFLite Micro insists: it never rescales."""
    (scale_in, zero_in), (scale_out, zero_out) = scalar(c.input(0)), scalar(c.output)
    if abs(scale_in - scale_out) <= 1e-6 and zero_in == zero_out:
        return []
    found, expected = f"{scale_out:g} and {zero_out}", f"{scale_in:g} and {zero_in}"
    return [
        Reason(
            f"the output's scale and zero point are {found}, expected the input's {expected}", None, "dtype"
        )
    ]


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    plain = pool(c, "s8", "qe_pool_2d_params")
    w = window(c, int(c.option("filter_height", 1)), int(c.option("filter_width", 1)))
    by_fours = w.in_channels % 4 == 0 and w.filter_height * w.filter_width <= DSP_PIXELS
    if c.core.family == "dsp" and c.op.op == "AVERAGE_POOL_2D" and by_fours:
        function = "qe_average_pool_2d_s8_dsp"
        headers = (*plain.headers, "qe_dsp.h")
        return replace(plain, function=function, kernels=(f"{function}.c",), headers=headers)
    return vector.pool_2d(c, plain)


def pool(c: OpContext, suffix: str, params: str) -> Emitted:
    """Return the call of the kernels with this suffix; nothing is requantised, as input and output have one scale."""
    w = window(c, int(c.option("filter_height", 1)), int(c.option("filter_width", 1)))
    low, high = fused_range(c)
    kind = "average" if c.op.op == "AVERAGE_POOL_2D" else "max"
    return Emitted(
        function=f"qe_{kind}_pool_2d_{suffix}",
        args=("{params}", "{in0}", "{out0}"),
        kernels=(f"qe_{kind}_pool_2d_{suffix}.c",),
        headers=(f"qe_pool_2d_{suffix}.h",),
        params=Params(
            params,
            (
                *w.members("in_height in_width"),
                ("channels", w.in_channels),
                *w.members("out_height out_width"),
                *w.members("filter_height filter_width stride_height stride_width pad_top pad_left"),
                ("low", low),
                ("high", high),
            ),
        ),
        overlap={0: np.dtype(c.output.dtype).itemsize * w.row_lead},
    )
