"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED for Helium; weights stay in the model's own order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Ref,
    Value,
    activation_range,
    constant,
    scalar,
)
from qedge_mcu.ops.depthwise_conv_2d_dsp import flat
from qedge_mcu.ops.geometry import window
from qedge_mcu.ops.requantize import Requantize, bias_values, per_channel, per_tensor, wrap_int32

_LAYER: tuple[tuple[str, Value], ...] = tuple(
    (name, Ref(name)) for name in ("weights", "bias", "multiplier", "shift")
)


def conv_2d(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None where it does not apply: dilation, groups, very deep windows."""
    data, weights, output = c.input(0), c.input(1), c.output
    w = window(c, weights.shape[1], weights.shape[2])
    depth = w.filter_height * w.filter_width * w.in_channels
    if (w.dilation_height, w.dilation_width) != (1, 1) or weights.shape[3] != w.in_channels or depth > 65535:
        return None
    values = constant(weights).reshape(w.out_channels, depth).astype(np.int64)
    arrays = _arrays(c, values, per_channel(data, weights, output, w.out_channels))
    if w.is_pointwise:
        lead = overlap.pixels(
            count=w.out_height * w.out_width,
            out_bytes=w.out_channels,
            in_bytes=w.in_channels,
            group=1,
            buffered=False,
        )
        return _matrix(c, w.out_height * w.out_width, depth, w.out_channels, arrays, {0: lead})
    return Emitted(
        function="qe_conv_2d_s8_mve",
        args=("{params}", "{in0}", "{out0}", "{scratch}"),
        kernels=("qe_conv_2d_s8_mve.c", "qe_matrix_s8_mve.c"),
        headers=("qe_mve.h",),
        params=Params(
            "qe_conv_2d_mve_params",
            (
                *_LAYER,
                ("outputs", w.out_channels),
                ("in_height", w.in_height),
                ("in_width", w.in_width),
                ("in_channels", w.in_channels),
                ("out_height", w.out_height),
                ("out_width", w.out_width),
                ("filter_height", w.filter_height),
                ("filter_width", w.filter_width),
                ("stride_height", w.stride_height),
                ("stride_width", w.stride_width),
                ("pad_top", w.pad_top),
                ("pad_left", w.pad_left),
                ("input_zero_point", scalar(data)[1]),
                *_clamp(c),
            ),
        ),
        arrays=arrays,
        defines=_defines(c, arrays),
        scratch_bytes=depth,
        overlap={0: w.row_lead},
    )


def fully_connected(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None for int4 weights."""
    data, weights, output = c.input(0), c.input(1), c.output
    outputs, inputs = weights.shape
    if weights.dtype != "int8" or weights.quantization is None or inputs > 65535:
        return None
    if weights.quantization.per_channel:
        requantize = per_channel(data, weights, output, outputs)
    else:
        one = per_tensor(data, weights, output)
        requantize = Requantize(np.repeat(one.multiplier, outputs), np.repeat(one.shift, outputs))
    arrays = _arrays(c, constant(weights).astype(np.int64), requantize)
    return _matrix(c, data.elements // inputs, inputs, outputs, arrays, {})


def depthwise_conv_2d(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None: it takes no dilation, depth multiplier 1, channels by eights."""
    data, weights, output = c.input(0), c.input(1), c.output
    w = flat(window(c, weights.shape[1], weights.shape[2]))
    if (
        w.in_channels != w.out_channels
        or w.in_channels % 8
        or (w.dilation_height, w.dilation_width) != (1, 1)
    ):
        return None
    requantize = per_channel(data, weights, output, w.out_channels)
    arrays = (
        ConstArray("weights", constant(weights).reshape(-1), "weights"),
        ConstArray("bias", wrap_int32(bias_values(c.optional(2), w.out_channels)), "bias"),
        ConstArray("multiplier", requantize.multiplier),
        ConstArray("shift", requantize.shift),
    )
    return Emitted(
        function="qe_depthwise_conv_2d_s8_mve",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_depthwise_conv_2d_s8_mve.c",),
        headers=("qe_mve.h",),
        params=Params(
            "qe_depthwise_conv_2d_mve_params",
            (
                *_LAYER,
                ("in_height", w.in_height),
                ("in_width", w.in_width),
                ("out_height", w.out_height),
                ("out_width", w.out_width),
                ("channels", w.out_channels),
                ("filter_height", w.filter_height),
                ("filter_width", w.filter_width),
                ("stride_height", w.stride_height),
                ("stride_width", w.stride_width),
                ("pad_top", w.pad_top),
                ("pad_left", w.pad_left),
                ("input_zero_point", scalar(data)[1]),
                *_clamp(c),
            ),
        ),
        arrays=arrays,
        defines=_defines(c, arrays),
        overlap={0: w.row_lead},
    )


def _matrix(
    c: OpContext, rows: int, depth: int, outputs: int, arrays: tuple[ConstArray, ...], leads: dict[int, int]
) -> Emitted:
    return Emitted(
        function="qe_matrix_s8_mve",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_matrix_s8_mve.c",),
        headers=("qe_mve.h",),
        params=Params(
            "qe_matrix_params",
            (*_LAYER, ("rows", rows), ("depth", depth), ("outputs", outputs), *_clamp(c)),
        ),
        arrays=arrays,
        defines=_defines(c, arrays),
        overlap=leads,
    )


def _arrays(c: OpContext, values: npt.NDArray[np.int64], requantize: Requantize) -> tuple[ConstArray, ...]:
    """Return the constants of a matrix product, the input's zero point folded into the bias."""
    bias = bias_values(c.optional(2), len(values)) - scalar(c.input(0))[1] * values.sum(axis=1)
    return (
        ConstArray("weights", values.astype(np.int8).reshape(-1), "weights"),
        ConstArray("bias", wrap_int32(bias), "bias"),
        ConstArray("multiplier", requantize.multiplier),
        ConstArray("shift", requantize.shift),
    )


def _defines(c: OpContext, arrays: tuple[ConstArray, ...]) -> frozenset[str]:
    """Return the macros of ``qe_mve.h`` that an operator needs."""
    clamp = dict(_clamp(c))
    found = set()
    if clamp["low"] != clamp["output_zero_point"]:
        found.add("QE_MVE_SIGNED")
    if (clamp["low"], clamp["high"]) != (-128, 127):
        found.add("QE_MVE_CLAMP")
    if any(a.name == "shift" and np.any(a.values > 0) for a in arrays):
        found.add("QE_MVE_LEFT")
    return frozenset(found)


def _clamp(c: OpContext) -> tuple[tuple[str, Value], ...]:
    scale, zero_point = scalar(c.output)
    low, high = activation_range(c.option("fused_activation_function", "NONE"), scale, zero_point)
    return ("output_zero_point", zero_point), ("low", low), ("high", high)
