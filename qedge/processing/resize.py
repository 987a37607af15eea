"""Image resizing as training pipelines do it, in numpy.

With ``antialias`` the result is pillow's ``Image.resize``, byte for byte (``libImaging/Resample.c``:
fixed-point weights of 22 bits, horizontal pass first, each pass rounded; recent versions of pillow choose
the order of the passes by the sizes, which moves some levels by one, and bicubic ones by up to 21 in noise of
extreme shapes, so the order is fixed here). Without it, and for ``area``, it is TensorFlow's ``tf.image.resize``
(half-pixel centres), rounded to the nearest level where the input is uint8. ``opencv`` is OpenCV's ``resize`` with
``INTER_LINEAR`` of uint8, bit for bit (``imgproc/src/resize.cpp``: weights of 11 bits, two products that lose 16
bits each, then two more).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

_PRECISION_BITS = 22


def resize(image: Array, height: int, width: int, method: str, antialias: bool = True) -> Array:
    """Return ``image`` (H, W, C; uint8 or float32) with the size (height, width, C) and its dtype.

    Args:
        method: ``nearest``, ``bilinear``, ``bicubic`` (a = -0.5), ``area`` or ``opencv``.
        antialias: widen the kernel when shrinking, as pillow does. ``area`` needs none, and for ``nearest``
            it only says whose rounding decides between two pixels.
    """
    if image.shape[:2] == (height, width):
        return image
    if method == "nearest":
        lines = _nearest(image.shape[0], height, antialias)
        return image[lines[:, None], _nearest(image.shape[1], width, antialias)]
    if method == "opencv":
        if image.dtype == np.uint8:
            return _opencv(image, height, width)
        method, antialias = "bilinear", False
    if antialias and method != "area" and image.dtype == np.uint8:
        fast = _pillow(image, height, width, method)
        return fast if fast is not None else _fixed_point(image, height, width, method)
    rows = _taps(image.shape[0], height, method, antialias)
    columns = _taps(image.shape[1], width, method, antialias)
    real = _weighted(_weighted(image, 0, *rows), 1, *columns)
    if image.dtype == np.uint8:
        return np.clip(np.rint(real), 0, 255).astype(np.uint8)
    return real


def _nearest(source: int, target: int, like_pillow: bool) -> npt.NDArray[np.intp]:
    """Return the source index of every target index: the pixel under the centre.

    The two differ where a centre falls between two pixels: pillow adds up steps, TensorFlow multiplies in float32.
    """
    step = source / target
    if like_pillow:
        centre = np.cumsum(np.concatenate([[step * 0.5], np.full(target - 1, step)]))
    else:
        centre = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * np.float32(step)
    return np.minimum(centre.astype(np.intp), source - 1)


def _pillow(image: Array, height: int, width: int, method: str) -> Array | None:
    """Return pillow's result (it is much faster), or None where pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    how = Image.Resampling.BILINEAR if method == "bilinear" else Image.Resampling.BICUBIC
    planar = image[:, :, 0] if image.shape[2] == 1 else image
    source = Image.fromarray(np.ascontiguousarray(planar))
    resized = np.asarray(source.resize((width, source.height), how).resize((width, height), how))
    return resized[:, :, None] if image.shape[2] == 1 else resized


def _fixed_point(image: Array, height: int, width: int, method: str) -> Array:
    """Return what pillow returns, bit for bit, without pillow."""
    for axis, target in ((1, width), (0, height)):
        if image.shape[axis] == target:
            continue
        index, weight = _taps(image.shape[axis], target, method, True)
        scaled = weight * (1 << _PRECISION_BITS)
        fixed = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int32)
        shape = [1, 1, 1]
        shape[axis] = target
        total = np.full(1, 1 << (_PRECISION_BITS - 1), np.int32)
        for tap in range(index.shape[1]):
            pixels = image.take(index[:, tap], axis=axis).astype(np.int32)
            total = total + pixels * fixed[:, tap].reshape(shape)
        image = np.clip(total >> _PRECISION_BITS, 0, 255).astype(np.uint8)
    return image


def _opencv(image: Array, height: int, width: int) -> Array:
    """Return what OpenCV returns for uint8, without OpenCV."""
    left, right, near, far = _cv_taps(image.shape[1], width, True)
    wide = image.astype(np.int32)
    lines = (wide[:, left] * near[:, None] + wide[:, right] * far[:, None]) >> 4
    top, bottom, above, below = _cv_taps(image.shape[0], height, False)
    mixed = ((lines[top] * above[:, None, None]) >> 16) + ((lines[bottom] * below[:, None, None]) >> 16)
    levels: Array = np.clip((mixed + 2) >> 2, 0, 255).astype(np.uint8)
    return levels


@lru_cache(maxsize=32)
def _cv_taps(source: int, target: int, held: bool) -> tuple[npt.NDArray[Any], ...]:
    """Return both source indices and their weights of 11 bits; ``held``: at the edges one of them has all."""
    place = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.intp)
    share = place - first.astype(np.float32)
    if held:
        share[(first < 0) | (first >= source - 1)] = 0
    weights = [np.rint(w * np.float32(2048)).astype(np.int32) for w in (1 - share, share)]
    return np.clip(first, 0, source - 1), np.clip(first + 1, 0, source - 1), *weights


def _weighted(image: Array, axis: int, index: npt.NDArray[np.intp], weight: npt.NDArray[np.float64]) -> Array:
    """Return the float32 sum of the taps along ``axis``."""
    shape = [1, 1, 1]
    shape[axis] = len(index)
    total: Array = np.zeros(1, np.float32)
    for tap in range(index.shape[1]):
        factor = weight[:, tap].astype(np.float32).reshape(shape)
        total = total + image.take(index[:, tap], axis=axis) * factor
    return total


@lru_cache(maxsize=32)
def _taps(
    source: int, target: int, method: str, antialias: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return source indices and weights, both (target, taps); the weights of a target add up to 1."""
    scale = source / target
    if method == "area":
        left = np.arange(target)[:, None] * scale
        first = np.floor(left).astype(np.intp)
        taps = int(np.ceil(scale)) + 1
        index = first + np.arange(taps)
        covered = np.minimum(index + 1, left + scale) - np.maximum(index, left)
        weight = np.maximum(covered, 0)
    else:
        stretch = max(scale, 1.0) if antialias else 1.0
        support = (1.0 if method == "bilinear" else 2.0) * stretch
        centre = (np.arange(target)[:, None] + 0.5) * scale
        # Resample.c: xmin = (int)(center - support + 0.5), xmax = (int)(center + support + 0.5)
        first = np.maximum(np.floor(centre - support + 0.5), 0).astype(np.intp)
        last = np.minimum(np.floor(centre + support + 0.5), source).astype(np.intp)
        index = first + np.arange(int(np.ceil(support)) * 2 + 1)
        distance = np.abs((index - centre + 0.5) / stretch)
        weight = _triangle(distance) if method == "bilinear" else _cubic(distance)
        weight = np.where(index < last, weight, 0.0)
    weight = np.where(index < source, weight, 0.0)
    used = np.flatnonzero(weight.any(axis=0))
    index, weight = index[:, used], weight[:, used]
    return np.minimum(index, source - 1), weight / weight.sum(axis=1, keepdims=True)


def _triangle(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.maximum(1.0 - distance, 0.0)


def _cubic(d: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5."""
    a = -0.5
    near = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    far = (((d - 5.0) * d + 8.0) * d - 4.0) * a
    return np.where(d < 1.0, near, np.where(d < 2.0, far, 0.0))
