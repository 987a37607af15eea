"""MEAN, SUM, REDUCE_MAX, REDUCE_MIN: int8, over any axes, with or without keep_dims; bit-exact to TFLite Micro.

MEAN and SUM take int16 too.
"""

from __future__ import annotations

from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Reason,
    Ref,
    Value,
    constant,
    expect_constant,
    expect_quantized,
    scalar,
)
from qedge_mcu.ops.walk import RANK, Level, merge, steps, strides

NAMES = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, axes at run time, an extreme that changes the scale."""
    dtypes = ("int8", "int16") if c.op.op in ("MEAN", "SUM") else ("int8",)
    reasons = [
        *expect_quantized(c.input(0), what="the input", dtypes=dtypes),
        *expect_quantized(c.output, what="the output", dtypes=(c.input(0).dtype,)),
        *expect_constant(c.input(1), what="the axes"),
    ]
    if not reasons and c.op.op not in ("MEAN", "SUM") and scalar(c.input(0)) != scalar(c.output):
        reasons.append(Reason("the extreme is quantised otherwise than the input", "convert the model again"))
    if not reasons and max(len(levels) for levels in _levels(c)) > RANK:
        reasons.append(Reason(f"more than {RANK} dimensions that cannot be merged"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    kept, reduced = _levels(c)
    row, row_step, _ = reduced.pop()
    outer = reduced or [(1, 0, 0)]
    members: tuple[tuple[str, Value], ...] = (
        ("kept", Ref("kept")),
        ("reduced", Ref("reduced")),
        ("row", row),
        ("row_step", row_step),
        ("kept_rank", len(kept)),
        ("reduced_rank", len(outer)),
    )
    if c.input(0).dtype == "int16":
        found = dict(_requantize(c))
        order = ("start", "multiplier", "output_zero_point", "shift")
        return Emitted(
            function="qe_reduce_sum_s16",
            args=("{params}", "{in0}", "{out0}"),
            kernels=("qe_reduce_sum_s16.c",),
            headers=("qe_reduce_s16.h", "qe_walk.h"),
            params=Params("qe_reduce_s16_params", (*members, *((name, found[name]) for name in order))),
            arrays=(ConstArray("kept", steps(kept)), ConstArray("reduced", steps(outer))),
        )
    if c.op.op in ("MEAN", "SUM"):
        members += _requantize(c)
    name = {"REDUCE_MAX": "max", "REDUCE_MIN": "min"}.get(c.op.op, "sum")
    return Emitted(
        function=f"qe_reduce_{name}_s8",
        args=("{params}", "{in0}", "{out0}"),
        kernels=(f"qe_reduce_{name}_s8.c",),
        headers=("qe_reduce_s8.h", "qe_walk.h"),
        params=Params("qe_reduce_sum_params" if name == "sum" else "qe_reduce_max_params", members),
        arrays=(ConstArray("kept", steps(kept)), ConstArray("reduced", steps(outer))),
    )


def _axes(c: OpContext) -> set[int]:
    rank = len(c.input(0).shape)
    return {int(a) % rank for a in constant(c.input(1)).reshape(-1)}


def _levels(c: OpContext) -> tuple[list[Level], list[Level]]:
    """Return the loops over the output and over what goes into one value of it."""
    shape, axes = c.input(0).shape, _axes(c)
    step = strides(shape)
    sides = []
    for inside in (False, True):
        dims = [d for d in range(len(shape)) if (d in axes) == inside]
        sides.append(merge([shape[d] for d in dims], [step[d] for d in dims], [0] * len(dims)))
    return sides[0], sides[1]


def _requantize(c: OpContext) -> tuple[tuple[str, Value], ...]:
    """Return the members after the walk; a mean's division goes into the multiplier, in integers."""
    (scale_in, zero_in), (scale_out, zero_out) = scalar(c.input(0)), scalar(c.output)
    multiplier, shift = quantize_multiplier(scale_in / scale_out)
    count = c.input(0).elements // max(c.output.elements, 1)
    if c.op.op == "MEAN":
        gained = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier = (multiplier << gained) // count
        shift -= gained
    return (
        ("start", -zero_in * count),
        ("multiplier", multiplier),
        ("shift", shift),
        ("output_zero_point", zero_out),
    )
