"""L2_NORMALIZATION: int8, along the last axis; bit-exact to TFLite Micro, whose output scale is always 1/128."""

from __future__ import annotations

from qedge_mcu.ops import lookup
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, scalar

NAMES = ("L2_NORMALIZATION",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, another output scale, a fused activation, very long rows."""
    reasons = lookup.expect_int8(c)
    if not reasons and scalar(c.output) != (1 / 128, 0):
        reasons.append(
            Reason(f"the output has scale and zero point {scalar(c.output)}, expected 1/128 and 0")
        )
    if c.option("fused_activation_function", "NONE") != "NONE":
        reasons.append(Reason(f"fused activation {c.option('fused_activation_function')}, expected NONE"))
    if c.input(0).shape[-1] > 1 << 15:
        reasons.append(Reason(f"rows of {c.input(0).shape[-1]} values, expected {1 << 15} at most"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    depth = c.input(0).shape[-1]
    return Emitted(
        function="qe_l2_normalization_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_l2_normalization_s8.c",),
        params=Params(
            "qe_l2_normalization_params",
            (("rows", c.output.elements // depth), ("depth", depth), ("zero_point", scalar(c.input(0))[1])),
        ),
    )
