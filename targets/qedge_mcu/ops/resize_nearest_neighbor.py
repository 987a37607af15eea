"""RESIZE_NEAREST_NEIGHBOR: align_corners, half_pixel_centers, any size; exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Params, Reason, Ref

NAMES = ("RESIZE_NEAREST_NEIGHBOR",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, batches."""
    reasons = movement.expect_movable([c.input(0), c.output])
    if c.input(0).shape[0] != 1:
        reasons.append(
            Reason(f"batch is {c.input(0).shape[0]}, expected 1", "convert the model with batch 1")
        )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call; which pixel goes where is worked out here, in float32 as TFLite Micro does."""
    data, output = c.input(0), c.output
    corners, centers = bool(c.option("align_corners", False)), bool(c.option("half_pixel_centers", False))
    rows = nearest(data.shape[1], output.shape[1], corners, centers)
    columns = nearest(data.shape[2], output.shape[2], corners, centers)
    return Emitted(
        function="qe_resize_nearest_neighbor",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_resize_nearest_neighbor.c",),
        params=Params(
            "qe_resize_nearest_neighbor_params",
            (
                ("rows", Ref("rows")),
                ("columns", Ref("columns")),
                ("in_width", data.shape[2]),
                ("out_height", output.shape[1]),
                ("out_width", output.shape[2]),
                ("pixel", data.shape[3] * ITEM_BYTES[data.dtype]),
            ),
        ),
        arrays=(ConstArray("rows", rows), ConstArray("columns", columns)),
    )


def nearest(in_size: int, out_size: int, corners: bool, centers: bool) -> npt.NDArray[np.int16]:
    """Return the input index of each output index.

    >>> nearest(2, 4, False, False).tolist()
    [0, 0, 1, 1]
    """
    one = np.float32(1)
    if corners and out_size > 1:
        scale = np.float32(in_size - 1) / (one * np.float32(out_size - 1))
    else:
        scale = np.float32(in_size) / (one * np.float32(out_size))
    at = (np.arange(out_size, dtype=np.float32) + np.float32(0.5 if centers else 0)) * scale
    # TfLiteRound: halves away from zero; nothing here is negative
    whole = np.floor(at + np.float32(0.5)) if corners else np.floor(at)
    found: npt.NDArray[np.int16] = np.clip(whole, 0, in_size - 1).astype(np.int16)
    return found
