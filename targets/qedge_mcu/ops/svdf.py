"""SVDF: int8, its state int8 or int16; bit-exact to TFLite Micro.

The state lives in the caller's context and carries over to the next run.
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
    State,
    constant,
    expect_quantized,
    expect_type,
    scalar,
)
from qedge_mcu.ops.requantize import bias_values, expect_weights, wrap_int32

NAMES = ("SVDF",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, weights at run time, a fused activation."""
    state = c.input(4)
    reasons = [
        *expect_quantized(c.input(0), what="the input"),
        *expect_quantized(c.output, what="the output"),
        *expect_quantized(state, what="the state", dtypes=("int8", "int16")),
        *expect_weights(c.input(1), 1, 0, dtypes=("int8",)),
        *expect_weights(c.input(2), 1, 0, dtypes=(state.dtype,)),
    ]
    bias = c.optional(3)
    if bias is not None:
        reasons += expect_type(bias, "int32", what="the bias")
    # TFLite Micro's integer kernel clamps to int8 and applies no activation.
    if c.option("fused_activation_function", "NONE") not in ("NONE", "RELU"):
        reasons.append(
            Reason(f"fused activation {c.option('fused_activation_function')}, expected NONE or RELU")
        )
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    data, features, times, state = c.input(0), c.input(1), c.input(2), c.input(4)
    filters, rank = features.shape[0], int(c.option("rank", 1))
    state_scale, state_zero = scalar(state)
    first = quantize_multiplier(scalar(data)[0] * scalar(features)[0] / state_scale)
    second = quantize_multiplier(state_scale * scalar(times)[0] / scalar(c.output)[0])
    name = f"state_{state.index}"
    wide = state.dtype == "int16"
    return Emitted(
        function="qe_svdf_s8",
        args=("{params}", "{in0}", f"(void *){{state:{name}}}", "{out0}"),
        kernels=("qe_svdf_s8.c",),
        params=Params(
            "qe_svdf_params",
            (
                ("features", Ref("weights")),
                ("times", Ref("times")),
                ("bias", Ref("bias")),
                ("feature_multiplier", first[0]),
                ("output_multiplier", second[0]),
                ("state_zero_point", state_zero),
                ("batches", data.shape[0]),
                ("inputs", features.shape[1]),
                ("filters", filters),
                ("rank", rank),
                ("memory", times.shape[1]),
                ("input_zero_point", scalar(data)[1]),
                ("feature_shift", first[1]),
                ("output_shift", second[1]),
                ("output_zero_point", scalar(c.output)[1]),
                ("wide", int(wide)),
            ),
        ),
        arrays=(
            ConstArray("weights", constant(features).reshape(-1), "weights"),
            ConstArray("times", constant(times).reshape(-1), "weights"),
            ConstArray("bias", wrap_int32(bias_values(c.optional(3), filters // rank)), "bias"),
        ),
        states=(State(name, state.nbytes, 0 if wide else state_zero),),
    )
