"""Ranges to scales and zero points, and values to codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
SMALLEST_SCALE = 1e-20  # keeps products of two scales normal float32 numbers


@dataclass(frozen=True)
class Affine:
    """Type, scale and zero point of a tensor: ``real = scale * (code - zero_point)``.

    Args:
        dtype: ``float32`` (then the other fields mean nothing), ``int4``, ``int8``, ``uint8``, ``int16`` or ``int32``.
        scale: one value, or one for each index of ``axis``.
        zero_point: a single one for all; 0 wherever there are several scales.
        axis: dimension that the scales run along.
        narrow: whether -128 (-8 of int4) is left out, as the kernels demand of weights.
    """

    dtype: str
    scale: tuple[float, ...] = ()
    zero_point: int = 0
    axis: int = 0
    narrow: bool = False

    def codes(self, real: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the codes of ``real``, rounded to the nearest (ties to even) and saturated; int4 ones as int8."""
        values = np.asarray(real, np.float64)
        q = np.rint(values / self.spread(values.ndim)) + self.zero_point
        info = np.iinfo(self.dtype) if self.dtype != "int4" else None
        low, high = (-8, 7) if info is None else (info.min, info.max)
        stored = "int8" if info is None else self.dtype
        result: npt.NDArray[Any] = np.clip(q, low + int(self.narrow), high).astype(stored)
        return result

    def real(self, codes: npt.NDArray[Any]) -> Float:
        """Return the real values of ``codes``."""
        shifted = codes.astype(np.float64) - self.zero_point
        return (shifted * self.spread(codes.ndim)).astype(np.float32)

    def spread(self, rank: int) -> npt.NDArray[np.float64]:
        """Return the scales shaped to broadcast over a tensor of ``rank`` dimensions."""
        scale = np.asarray(self.scale, np.float32).astype(np.float64)
        if scale.size == 1:
            return scale.reshape(())
        shape = [1] * rank
        shape[self.axis] = scale.size
        return scale.reshape(shape)


FLOAT = Affine("float32")


def from_range(low: float, high: float, dtype: str = "int8") -> Affine:
    """Return the quantisation that covers ``[low, high]`` and represents zero exactly.

    >>> from_range(0.0, 2.55).zero_point
    -128
    >>> from_range(-1.0, 1.0, "int16").zero_point
    0
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if dtype == "int16":
        return Affine(dtype, (_single(max(-low, high) / 32767),))
    scale = _single((high - low) / 255)
    info = np.iinfo(dtype)
    zero = int(np.clip(np.rint(info.min - low / scale), info.min, info.max))
    return Affine(dtype, (scale,), zero)


STEPS = {"int8": 127, "int4": 7}
"""Largest code of weights, by type."""


def symmetric(limits: npt.ArrayLike, axis: int, dtype: str = "int8") -> Affine:
    """Return the symmetric quantisation of weights that covers ``[-limit, limit]``, one limit a scale."""
    scales = np.maximum(np.asarray(limits, np.float64).reshape(-1) / STEPS[dtype], SMALLEST_SCALE)
    return Affine(dtype, tuple(_single(s) for s in scales), 0, axis, narrow=True)


def _single(value: float) -> float:
    """Return ``value`` as the float32 that the model stores, never zero."""
    return float(np.float32(max(value, SMALLEST_SCALE)))
