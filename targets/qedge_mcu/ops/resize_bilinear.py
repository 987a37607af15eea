"""RESIZE_BILINEAR: int8, align_corners, half_pixel_centers; bit-exact to TFLite Micro's 10-bit fractions."""

from __future__ import annotations

from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason
from qedge_mcu.ops.geometry import expect_batch_1

NAMES = ("RESIZE_BILINEAR",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, batches."""
    return [*lookup.expect_int8(c), *expect_batch_1(c.input(0))]


def emit(c: OpContext) -> Emitted:
    """Return the call; a scale is the input pixels for one output pixel in 1/1024."""
    data, output = c.input(0), c.output
    corners, centers = bool(c.option("align_corners", False)), bool(c.option("half_pixel_centers", False))
    scales = [_scale(data.shape[d], output.shape[d], corners) for d in (1, 2)]
    starts = [scale // 2 - 512 if centers else 0 for scale in scales]
    return Emitted(
        function="qe_resize_bilinear_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_resize_bilinear_s8.c",),
        params=Params(
            "qe_resize_bilinear_params",
            (
                ("scale_y", scales[0]),
                ("scale_x", scales[1]),
                ("start_y", starts[0]),
                ("start_x", starts[1]),
                ("in_height", data.shape[1]),
                ("in_width", data.shape[2]),
                ("out_height", output.shape[1]),
                ("out_width", output.shape[2]),
                ("channels", data.shape[3]),
            ),
        ),
    )


def _scale(in_size: int, out_size: int, corners: bool) -> int:
    if corners and out_size > 1:
        in_size, out_size = in_size - 1, out_size - 1
    return (1024 * in_size + out_size // 2) // out_size
