"""AVERAGE_POOL_2D, MAX_POOL_2D: int16; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    expect_activation,
    expect_quantized,
    fused_range,
)
from qedge_mcu.ops.geometry import expect_batch_1, window
from qedge_mcu.ops.pool_2d import expect_one_scale

INT16 = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, batches, a change of scale."""
    reasons = [
        *expect_quantized(c.input(0), what="the input", dtypes=("int16",)),
        *expect_quantized(c.output, what="the output", dtypes=("int16",)),
        *expect_activation(c),
        *expect_batch_1(c.input(0)),
    ]
    return reasons or expect_one_scale(c)


def emit(c: OpContext) -> Emitted:
    """Return the call; input and output have the same scale, so nothing is requantised."""
    w = window(c, int(c.option("filter_height", 1)), int(c.option("filter_width", 1)))
    low, high = fused_range(c)
    kind = "average" if c.op.op == "AVERAGE_POOL_2D" else "max"
    return Emitted(
        function=f"qe_{kind}_pool_2d_s16",
        args=("{params}", "{in0}", "{out0}"),
        kernels=(f"qe_{kind}_pool_2d_s16.c",),
        headers=("qe_pool_2d_s16.h",),
        params=Params(
            "qe_pool_2d_s16_params",
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
        overlap={0: 2 * w.row_lead},
    )
