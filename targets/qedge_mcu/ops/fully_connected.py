"""FULLY_CONNECTED: int8 or int4 weights, per tensor or per channel; bit-exact to TFLite Micro."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from qedge_mcu.cores import Family
from qedge_mcu.ops import computed_weights, fully_connected_dsp, mve, vector
from qedge_mcu.ops.base import (
    Emitted,
    OpContext,
    Params,
    Reason,
    constant,
    output_members,
    scalar,
)
from qedge_mcu.ops.requantize import (
    CHANNELS,
    bias_values,
    by_fours,
    channel_arrays,
    expect_weighted_sum,
    per_output,
    wrap_int32,
)
from qedge_mcu.structs import first_that_fits

NAMES = ("FULLY_CONNECTED",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, weights at run time with a bias or a function, shuffled weights."""
    weights, bias = c.input(1), c.optional(2)
    if not weights.is_constant and weights.dtype == "int8":
        return computed_weights.check(c)
    reasons = expect_weighted_sum(c, c.input(0), weights, bias, dtypes=("int8", "int4"))
    if c.option("weights_format", "DEFAULT") != "DEFAULT":
        reasons.append(Reason(f"weights are {c.option('weights_format')}, expected DEFAULT"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call of the kernel for the core's extension where it applies, else of the general one."""
    if not c.input(1).is_constant:
        return computed_weights.emit(c)
    return first_that_fits(*(partial(kernel, c) for kernel in (*_SPECIAL[c.core.family], _general)))


def _general(c: OpContext) -> Emitted:
    """Return the call; the input's zero point is folded into the bias."""
    data, weights, output = c.input(0), c.input(1), c.output
    outputs, inputs = weights.shape
    requantize = per_output(data, weights, output)
    values = constant(weights).astype(np.int64)
    zero_in = scalar(data)[1]
    bias = bias_values(c.optional(2), outputs) - zero_in * values.sum(axis=1)
    nibbles = weights.dtype == "int4"
    function = "qe_fully_connected_s4" if nibbles else "qe_fully_connected_s8"
    array = pack_rows(values).reshape(-1) if nibbles else by_fours(values[None])
    portable = Emitted(
        function=function,
        args=("{params}", "{in0}", "{out0}"),
        kernels=(f"{function}.c",) if nibbles else (f"{function}.c", "qe_dot_s8.c"),
        headers=("qe_fully_connected_s8.h",) if nibbles else ("qe_fully_connected_s8.h", "qe_dot_4_plain.h"),
        params=Params(
            "qe_fully_connected_params",
            (
                *CHANNELS,
                ("rows", data.elements // inputs),
                ("inputs", inputs),
                ("outputs", outputs),
                ("step", int(requantize.shift.size > 1)),
                *output_members(c),
            ),
        ),
        arrays=channel_arrays(array, wrap_int32(bias), requantize.multiplier, requantize.shift),
    )
    return portable if nibbles else vector.with_dots(c, portable)


def pack_rows(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """Return int4 weights (outputs, inputs) as bytes, the even input in the low half; rows start on a byte.

    >>> pack_rows(np.array([[1, -1, 7]])).tolist()
    [[-15, 7]]
    """
    rows, inputs = values.shape
    padded = np.zeros((rows, inputs + inputs % 2), np.int64)
    padded[:, :inputs] = values
    return (padded[:, 0::2] & 15 | (padded[:, 1::2] & 15) << 4).astype(np.uint8).view(np.int8)


_SPECIAL: Mapping[Family, tuple[Callable[[OpContext], Emitted | None], ...]] = {
    "mve": (mve.fully_connected, fully_connected_dsp.emit),
    "dsp": (fully_connected_dsp.emit,),
    "portable": (),
    "vector": (),
}
