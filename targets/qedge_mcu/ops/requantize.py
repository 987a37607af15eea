"""Multipliers, shifts and biases of operators with weights, as TFLite Micro prepares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Tensor
from qedge.quantmath import quantize_multiplier
from qedge_mcu.ops.base import (
    Array,
    ConstArray,
    OpContext,
    Reason,
    Ref,
    Value,
    constant,
    expect_activation,
    expect_quantized,
    expect_type,
    scalar,
)


@dataclass(frozen=True, eq=False)
class Requantize:
    """What turns sums into outputs.

    Args:
        multiplier: int32, shape (channels,) or (1,).
        shift: int8, the same shape; positive to the left.
    """

    multiplier: npt.NDArray[np.int32]
    shift: npt.NDArray[np.int8]

    def repeated(self, channels: int) -> Requantize:
        """Return the same with one multiplier a channel."""
        return Requantize(np.resize(self.multiplier, channels), np.resize(self.shift, channels))


def expect_weighted_sum(
    c: OpContext,
    data: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    *,
    axis: int = 0,
    dtypes: tuple[str, ...] = ("int8",),
) -> list[Reason]:
    """Return what stands in the way of int8 sums of ``data`` times constant ``weights`` plus an int32 ``bias``.

    Args:
        axis: of the weights, along which they may have one scale a channel.
        dtypes: what the weights may be.
    """
    return [
        *expect_quantized(data, what="the input"),
        *expect_quantized(c.output, what="the output"),
        *expect_weights(weights, weights.shape[axis], axis, dtypes=dtypes),
        *expect_activation(c),
        *(expect_type(bias, "int32", what="the bias") if bias is not None else []),
    ]


def expect_weights(weights: Tensor, channels: int, axis: int, *, dtypes: tuple[str, ...]) -> list[Reason]:
    """Return reasons when constant weights are not quantised per tensor or along ``axis``."""
    q = weights.quantization
    if weights.sparse:
        return [Reason("weights are sparse, expected dense", "convert the model without sparsity")]
    if weights.dtype not in dtypes:
        return [Reason(f"weights are {weights.dtype}, expected {' or '.join(dtypes)}", None, "dtype")]
    if not weights.is_constant:
        return [Reason("weights are computed at run time, expected a constant")]
    if q is None:
        return [Reason("weights have no quantisation", "quantise the model to full integer int8", "dtype")]
    if np.any(q.zero_point):
        return [Reason("weights have a zero point, expected 0", "quantise the weights symmetrically")]
    if q.per_channel and (q.scale.size != channels or q.axis != axis):
        return [Reason(f"weights have {q.scale.size} scales on axis {q.axis}, expected {channels} on {axis}")]
    return []


def per_channel(input: Tensor, weights: Tensor, output: Tensor, channels: int) -> Requantize:
    """Return one multiplier a channel, repeated when the weights have one scale.

    ``PopulateConvolutionQuantizationParams``: the product of scales is taken in double precision.
    """
    assert weights.quantization is not None
    scales = np.broadcast_to(weights.quantization.scale, (channels,))
    in_scale, out_scale = scalar(input)[0], scalar(output)[0]
    pairs = [quantize_multiplier(in_scale * float(s) / out_scale) for s in scales]
    return Requantize(np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.int8))


def per_tensor(input: Tensor, weights: Tensor, output: Tensor) -> Requantize:
    """Return the one multiplier of ``GetQuantizedConvolutionMultipler``: the scales' product is a float32."""
    product = float(np.float32(scalar(input)[0]) * np.float32(scalar(weights)[0]))
    multiplier, shift = quantize_multiplier(product / scalar(output)[0])
    return Requantize(np.array([multiplier], np.int32), np.array([shift], np.int8))


def per_output(input: Tensor, weights: Tensor, output: Tensor) -> Requantize:
    """Return the multipliers of FULLY_CONNECTED: one an output where the weights have so many scales, else one."""
    assert weights.quantization is not None
    if weights.quantization.per_channel:
        return per_channel(input, weights, output, weights.shape[0])
    return per_tensor(input, weights, output)


def bias_values(bias: Tensor | None, channels: int) -> npt.NDArray[np.int64]:
    """Return the bias as int64, zeros where there is none; shape (channels,)."""
    if bias is None:
        return np.zeros(channels, np.int64)
    return constant(bias).reshape(-1).astype(np.int64)


CHANNELS: tuple[tuple[str, Value], ...] = tuple(
    (name, Ref(name)) for name in ("weights", "bias", "multiplier", "shift")
)
"""The members of a parameter struct that point to :func:`channel_arrays`."""


def channel_arrays(
    weights: Array, bias: Array, multiplier: Array, shift: Array, overhead: int = 0
) -> tuple[ConstArray, ...]:
    """Return the constants of an operator with weights, each an array of its own; ``overhead`` as in `ConstArray`."""
    return (
        ConstArray("weights", weights, "weights", overhead=overhead),
        ConstArray("bias", bias, "bias"),
        ConstArray("multiplier", multiplier),
        ConstArray("shift", shift),
    )


def by_fours(weights: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """Return int8 weights (groups, outputs, inputs) flat, as ``qe_dot_s8.h`` reads them.

    Of each group first four outputs at a time, interleaved by input, then the outputs that are left over.

    >>> by_fours(np.arange(10).reshape(1, 5, 2)).tolist()
    [0, 2, 4, 6, 1, 3, 5, 7, 8, 9]
    """
    groups, outputs, inputs = weights.shape
    whole = outputs // 4 * 4
    fours = weights[:, :whole].reshape(groups, whole // 4, 4, inputs).transpose(0, 1, 3, 2)
    parts = [fours.reshape(groups, -1), weights[:, whole:].reshape(groups, -1)]
    return np.concatenate(parts, axis=1).reshape(-1).astype(np.int8)


def wrap_int32(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return the values modulo 2**32, as an int32 accumulator in C holds them."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
