"""AVERAGE_POOL_2D and MAX_POOL_2D: int8; bit-exact to TFLite Micro."""

from __future__ import annotations

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

NAMES = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, batches, a change of scale."""
    reasons = [
        *expect_quantized(c.input(0), what="the input"),
        *expect_quantized(c.output, what="the output"),
        *expect_activation(c),
        *expect_batch_1(c.input(0)),
    ]
    return reasons or expect_one_scale(c)


def expect_one_scale(c: OpContext) -> list[Reason]:
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
    """Return the call; input and output have the same scale, so nothing is requantised."""
    w = window(c, int(c.option("filter_height", 1)), int(c.option("filter_width", 1)))
    low, high = fused_range(c)
    kind = "average" if c.op.op == "AVERAGE_POOL_2D" else "max"
    return Emitted(
        function=f"qe_{kind}_pool_2d_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=(f"qe_{kind}_pool_2d_s8.c",),
        headers=("qe_pool_2d_s8.h",),
        params=Params(
            "qe_pool_2d_params",
            (
                ("in_height", w.in_height),
                ("in_width", w.in_width),
                ("channels", w.in_channels),
                ("out_height", w.out_height),
                ("out_width", w.out_width),
                ("filter_height", w.filter_height),
                ("filter_width", w.filter_width),
                ("stride_height", w.stride_height),
                ("stride_width", w.stride_width),
                ("pad_top", w.pad_top),
                ("pad_left", w.pad_left),
                ("low", low),
                ("high", high),
            ),
        ),
        overlap={0: w.row_lead},
    )
