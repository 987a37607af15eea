"""Fixed-point arithmetic of TensorFlow Lite: the only home of multiplier, shift, rounding and saturation.

Two requantisations are in use, and they differ by one in some bytes; name the one you mean:

* *double* rounding: TFLite Micro, CMSIS-NN and the ``tflite-micro`` wheel. A saturating rounding doubling
  high multiply, then a rounding right shift with ties away from zero
  (``gemmlowp/fixedpoint/fixedpoint.h``: ``SaturatingRoundingDoublingHighMul``, ``RoundingDivideByPOT``).
* *single* rounding: LiteRT's reference resolver and XNNPACK. ``(acc * m + 2^(t-1)) >> t``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

INT8_MIN, INT8_MAX = -128, 127


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return ``(multiplier, shift)`` with ``real == multiplier * 2**(shift - 31)``, as TFLite computes them.

    ``multiplier`` is in [2**30, 2**31 - 1], or 0; ``shift`` in [-31, 30]; positive shifts left.
    Source: ``tensorflow/lite/kernels/internal/quantization_util.cc``, ``QuantizeMultiplier``.

    >>> quantize_multiplier(0.5)
    (1073741824, 0)
    >>> quantize_multiplier(0.0)
    (0, 0)
    """
    if real == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = math.floor(mantissa * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return multiplier, shift


def multiply_double(acc: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> npt.NDArray[Any]:
    """Requantise int32 accumulators with double rounding; broadcasts; returns int32.

    ``MultiplyByQuantizedMultiplier`` of TFLite Micro built without ``TFLITE_SINGLE_ROUNDING``.
    """
    a = np.asarray(acc, np.int64)
    m = np.asarray(multiplier, np.int64)
    s = np.asarray(shift, np.int64)
    left = np.maximum(s, 0)
    right = np.maximum(-s, 0)
    a = (a << left).astype(np.int32).astype(np.int64)
    product = a * m
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    total = product + nudge
    # C's division by 2^31 truncates towards zero.
    high = np.where(total >= 0, total >> 31, -((-total) >> 31))
    high = np.where((a == m) & (a == -(1 << 31)), (1 << 31) - 1, high)
    mask = (np.int64(1) << right) - 1
    remainder = high & mask
    threshold = (mask >> 1) + (high < 0)
    result: npt.NDArray[Any] = ((high >> right) + (remainder > threshold)).astype(np.int32)
    return result


def multiply_single(acc: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> npt.NDArray[Any]:
    """Requantise int32 accumulators with single rounding; broadcasts; returns int32."""
    a = np.asarray(acc, np.int64)
    m = np.asarray(multiplier, np.int64)
    total_shift = 31 - np.asarray(shift, np.int64)
    return ((a * m + (np.int64(1) << (total_shift - 1))) >> total_shift).astype(np.int32)


def quantize(real: npt.ArrayLike, scale: float, zero_point: int, dtype: Any = np.int8) -> npt.NDArray[Any]:
    """Return ``round(real / scale) + zero_point``, ties to even, saturated to ``dtype``.

    >>> quantize([0.0, 1.0, 99.0], 0.5, -1).tolist()
    [-1, 1, 127]
    """
    info = np.iinfo(dtype)
    q = np.rint(np.asarray(real, np.float32) / np.float32(scale)) + zero_point
    result: npt.NDArray[Any] = np.clip(q, info.min, info.max).astype(dtype)
    return result


def dequantize(q: npt.ArrayLike, scale: npt.ArrayLike, zero_point: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return ``(q - zero_point) * scale`` as float32; ``scale`` and ``zero_point`` broadcast.

    >>> dequantize([-1, 1], 0.5, -1).tolist()
    [0.0, 1.0]
    """
    shifted = np.asarray(q).astype(np.int32) - np.asarray(zero_point, np.int32)
    return (shifted * np.asarray(scale, np.float32)).astype(np.float32)
