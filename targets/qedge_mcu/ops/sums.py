"""ADD_N, CUMSUM: int8; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops import movement
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    constant,
    expect_constant,
    expect_quantized,
    scalar,
)

NAMES = ("ADD_N", "CUMSUM")
LEFT_SHIFT = 20


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, inputs quantised otherwise than the first, an axis at run time."""
    data = [c.input(i) for i in range(len(c.inputs) if c.op.op == "ADD_N" else 1)]
    reasons = expect_quantized(c.output, what="the output")
    for i, tensor in enumerate(data):
        reasons += expect_quantized(tensor, what=f"input {i}")
    if not reasons and len({(scalar(t), t.shape) for t in data}) > 1:
        reasons.append(Reason("the inputs' shapes or scales differ, expected one", None, "dtype"))
    if c.op.op == "CUMSUM":
        reasons += expect_constant(c.input(1), what="the axis")
    if not reasons and _multipliers(c)[1][1] > 0:
        reasons.append(Reason("the output's scale is too fine for the inputs'", "calibrate the model again"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    shape = c.input(0).shape
    outer, count, inner = 1, len(c.inputs), c.output.elements
    running = c.op.op == "CUMSUM"
    if running:
        axis = movement.positive_axis(int(constant(c.input(1)).reshape(-1)[0]), len(shape))
        count = shape[axis]
        inner = 1
        for size in shape[axis + 1 :]:
            inner *= size
        outer = c.output.elements // max(count * inner, 1)
    source, target = _multipliers(c)
    return Emitted(
        function="qe_cumsum_s8" if running else "qe_add_n_s8",
        args=("{params}", "{in0}" if running else "{ins}", "{out0}"),
        kernels=("qe_sums_s8.c",),
        defines=frozenset({f"QE_{c.op.op}"}),
        params=Params(
            "qe_sums_params",
            (
                ("outer", outer),
                ("count", count),
                ("inner", inner),
                ("input_multiplier", source[0]),
                ("output_multiplier", target[0]),
                ("input_offset", -scalar(c.input(0))[1]),
                ("input_shift", source[1]),
                ("output_shift", target[1]),
                ("output_zero_point", scalar(c.output)[1]),
                ("exclusive", int(bool(c.option("exclusive", False)))),
                ("reverse", int(bool(c.option("reverse", False)))),
            ),
        ),
    )


def _multipliers(c: OpContext) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (multiplier, shift) of the inputs, and of the output."""
    twice = 2 * scalar(c.input(0))[0]
    ratio = twice / ((1 << LEFT_SHIFT) * scalar(c.output)[0])
    return quantize_multiplier(scalar(c.input(0))[0] / twice), quantize_multiplier(ratio)
