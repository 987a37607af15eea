"""What the operators share that turn one integer into another without a table."""

from __future__ import annotations

from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import Emitted, OpContext, Params, scalar

RANGES = {
    "int8": (-128, 127),
    "int16": (-32768, 32767),
    "int32": (-(1 << 31), (1 << 31) - 1),
}
ONE = (1 << 30, 1)
"""Multiplier and shift of the factor 1."""


def emit(
    c: OpContext,
    positive: tuple[int, int],
    negative: tuple[int, int] | None = None,
    *,
    minus: bool = False,
    low: int | None = None,
    high: int | None = None,
) -> Emitted:
    """Return the call that multiplies each value's distance from the zero point.

    Args:
        positive, negative: (multiplier, shift) for values from the zero point on, and below it.
        minus: values below the zero point change their sign.
        low, high: clamp; the output's range unless given.
    """
    data, output = c.input(0), c.output
    zero_in = scalar(data)[1] if data.quantization is not None else 0
    zero_out = scalar(output)[1] if output.quantization is not None else 0
    least, most = RANGES[output.dtype]
    below = positive if negative is None else negative
    sizes = ITEM_BYTES[output.dtype], ITEM_BYTES[data.dtype]
    return Emitted(
        function="qe_requantize_all",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_requantize.c",),
        params=Params(
            "qe_requantize_params",
            (
                ("count", output.elements),
                ("multiplier", positive[0]),
                ("negative_multiplier", below[0]),
                ("input_zero_point", zero_in),
                ("output_zero_point", zero_out),
                ("low", least if low is None else low),
                ("high", most if high is None else high),
                ("shift", positive[1]),
                ("negative_shift", below[1]),
                ("minus", int(minus)),
                ("in_bytes", sizes[1]),
                ("out_bytes", sizes[0]),
            ),
        ),
        overlap={0: overlap.elementwise()} if sizes[0] <= sizes[1] else {},
    )
