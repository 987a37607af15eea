"""Images as model inputs: colour, fit, resize and normalisation, the same for training data and devices."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from qedge import quantmath
from qedge.errors import DataError
from qedge.processing.levels import as_hwc
from qedge.processing.spec import Preprocess, is_int, is_number, per_channel, require

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

METHODS = ("nearest", "bilinear", "bicubic", "area", "opencv")
COLORS = ("rgb", "bgr", "gray")
FITS = ("stretch", "crop", "letterbox")
MAX_SIDE = 16384
UNBATCHED = 3  # dimensions of an image without a batch


class ImagePreprocess(Preprocess):
    """Turn an image into NHWC float32: ``x = (low + pixel / 255 * (high - low) - mean) / std``.

    Args:
        width: pixels, as the model wants them.
        height: pixels.
        color: what the model was trained with: ``rgb``, ``bgr`` or ``gray`` (one channel). Samples are RGB
            (or gray), as pillow and picamera2 give them.
        resize: ``nearest``, ``bilinear``, ``bicubic``, ``area`` or ``opencv`` (its ``INTER_LINEAR``).
        antialias: pillow's and torchvision's resize (True) or the default of ``tf.image.resize`` and of
            ``keras.utils.image_dataset_from_directory`` (False).
        fit: ``stretch`` ignores the aspect ratio, ``crop`` takes the largest part in the middle that has the
            model's, ``letterbox`` keeps the whole image and fills the rest with ``fill``.
        crop_fraction: part of the cropped side that is kept, in (0, 1]: 0.875 for "resize to 256, take the
            middle 224".
        fill: level of the bars of ``letterbox``, 0 to 255.
        range: (low, high) that the levels 0..255 stand for, before ``mean`` and ``std``.
        mean: one number or one a channel, in the units of ``range`` and in the order of ``color``.
        std: likewise, not 0.
    """

    kind: ClassVar[str] = "image"

    width: int
    height: int
    color: str = "rgb"
    resize: str = "bilinear"
    antialias: bool = True
    fit: str = "stretch"
    crop_fraction: float = 1.0
    fill: int = 0
    range: tuple[float, ...] = (0.0, 255.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            require(is_int(value) and 1 <= value <= MAX_SIDE, name, value, f"an integer from 1 to {MAX_SIDE}")
        for name, choices in (("color", COLORS), ("resize", METHODS), ("fit", FITS)):
            require(getattr(self, name) in choices, name, getattr(self, name), f"one of {', '.join(choices)}")
        require(isinstance(self.antialias, bool), "antialias", self.antialias, "true or false")
        fraction = self.crop_fraction
        require(is_number(fraction) and 0 < fraction <= 1, "crop_fraction", fraction, "a number in (0, 1]")
        require(is_int(self.fill) and 0 <= self.fill <= 255, "fill", self.fill, "an integer from 0 to 255")
        for name in ("range", "mean", "std"):
            value = getattr(self, name)
            value = (value,) if is_number(value) else value
            sizes = (2,) if name == "range" else (1, self.channels)
            good = isinstance(value, (tuple, list)) and len(value) in sizes and all(map(is_number, value))
            require(good, name, value, "two numbers" if name == "range" else "one number, or one a channel")
            object.__setattr__(self, name, tuple(float(v) for v in value))
        require(self.range[0] != self.range[1], "range", self.range, "two different numbers")
        require(all(self.std), "std", self.std, "numbers other than 0")

    @classmethod
    def for_input(cls, shape: tuple[int, ...], **fields: Any) -> ImagePreprocess:
        """Return the pre-processing of a model input (1, H, W, 1|3); ``fields`` as in the class.

        Raises:
            DataError: a shape that is no NHWC image.
        """
        if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
            raise DataError(
                f"the model's input is {list(shape)}, expected [1, height, width, 1 or 3] for images",
                hint="export it with a batch of one, (1, 3, height, width) in PyTorch"
                if len(shape) == UNBATCHED or (len(shape) > UNBATCHED and shape[0] > 1)
                else "hand over the samples as .npz or .npy, in the model's own units",
            )
        color = fields.pop("color", None) or ("gray" if shape[3] == 1 else "rgb")
        made = cls(width=shape[2], height=shape[1], color=color, **fields)
        if made.channels != shape[3]:
            raise DataError(f"color {color!r} has {made.channels} channels, the model's input {shape[3]}")
        return made

    @property
    def channels(self) -> int:
        """1 for gray, else 3."""
        return 1 if self.color == "gray" else 3

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, height, width, channels)."""
        return (1, self.height, self.width, self.channels)

    def example(self) -> Array:
        """Return a gray uint8 image of the model's size."""
        return np.full(self.shape[1:], 128, np.uint8)

    def apply(self, sample: Any) -> npt.NDArray[np.float32]:
        """Return the model input for an image: float32 NHWC, batch 1.

        ``sample``: a path, a pillow image, or an array (H, W), (H, W, 1|3|4) or (1, H, W, 1|3|4); uint8, or
        float with levels from 0 to 255.

        Raises:
            DataError: the sample is no such image.
        """
        image = self.pixels(sample)
        if image.dtype == np.uint8:
            return _look_up(_table(self), image)
        low, high = self.range
        real = np.float32(low) + image * np.float32((high - low) / 255.0)
        real -= np.array(self.mean, np.float32)
        real /= np.array(self.std, np.float32)
        return np.ascontiguousarray(real, np.float32)[None]

    def encode(self, sample: Any, scale: float, zero_point: int, dtype: Any) -> Array:
        """Return :meth:`apply` quantised, for uint8 images without the way over float32.

        A new array, but for a uint8 model that takes the levels as they are: then a view of the sample.
        """
        image = self.pixels(sample)
        if image.dtype != np.uint8:
            return super().encode(sample, scale, zero_point, dtype)
        table, flip = _quantized_table(self, scale, zero_point, np.dtype(dtype).name)
        if flip is None and table.itemsize == 1 and image.size % 2 == 0 and image.flags.c_contiguous:
            tables = _pair_tables(self, scale, zero_point, np.dtype(dtype).name)
            if image.size % (2 * len(tables)) == 0:
                return _look_up_pairs(tables, image).view(table.dtype)
        if flip is None:
            return _look_up(table, image)
        if flip == 0:
            return image[None]
        return np.bitwise_xor(image, np.uint8(flip)).view(np.int8)[None]

    def pixels(self, sample: Any) -> Array:
        """Return the image in the model's size and colour: (height, width, channels), uint8 or float32."""
        image = self._colored(as_hwc(sample))
        if image.shape[:2] == (self.height, self.width) and self.crop_fraction == 1:
            return image
        from qedge.processing.resize import resize

        if self.fit == "crop":
            image = _crop(image, self.height / self.width, self.crop_fraction)
        if self.fit == "letterbox":
            return self._letterboxed(image)
        return resize(image, self.height, self.width, self.resize, self.antialias)

    def to_source(self, points: npt.ArrayLike, height: int, width: int) -> npt.NDArray[np.float64]:
        """Return where points of the model's input lie in the image that was handed over.

        Args:
            points: (y, x), or boxes (top, left, bottom, right), 0 to 1 of the model's input; any number of
                leading dimensions.
            height: of the image, pixels.
            width: of the image, pixels.

        Returns:
            The same in pixels of the image; outside of it where a point lies in a bar of ``letterbox``.
        """
        top, left, tall, wide = 0.0, 0.0, float(height), float(width)
        if self.fit == "crop":
            top, left, kept_height, kept_width = _kept(
                height, width, self.height / self.width, self.crop_fraction
            )
            tall, wide = float(kept_height), float(kept_width)
        elif self.fit == "letterbox":
            bar_top, bar_left, inner_height, inner_width = self._inner(height, width)
            tall, wide = height * self.height / inner_height, width * self.width / inner_width
            top, left = -bar_top * height / inner_height, -bar_left * width / inner_width
        found = np.array(points, np.float64)
        found[..., 0::2] = found[..., 0::2] * tall + top
        found[..., 1::2] = found[..., 1::2] * wide + left
        return found

    def _inner(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (top, left, height, width) of the image within the bars of ``letterbox``."""
        factor = min(self.height / height, self.width / width)
        inner_height = min(self.height, max(1, round(height * factor)))
        inner_width = min(self.width, max(1, round(width * factor)))
        top, left = (self.height - inner_height) // 2, (self.width - inner_width) // 2
        return top, left, inner_height, inner_width

    def _colored(self, image: Array) -> Array:
        """Return (H, W, 1|3|4) in the model's colours; a view where that is enough."""
        if self.color == "gray":
            return image if image.shape[2] == 1 else _luma(image)
        if image.shape[2] == 1:
            return np.repeat(image, 3, axis=2)
        if self.color == "bgr":
            return np.ascontiguousarray(image[:, :, 2::-1])
        return image if image.shape[2] == 3 else np.ascontiguousarray(image[:, :, :3])

    def _letterboxed(self, image: Array) -> Array:
        from qedge.processing.resize import resize

        top, left, height, width = self._inner(image.shape[0], image.shape[1])
        canvas = np.full((self.height, self.width, image.shape[2]), self.fill, image.dtype)
        canvas[top : top + height, left : left + width] = resize(
            image, height, width, self.resize, self.antialias
        )
        return canvas


def _luma(image: Array) -> Array:
    """Return pillow's gray of RGB: ITU-R 601-2, ``(19595 R + 38470 G + 7471 B + 2^15) >> 16``."""
    if image.dtype == np.uint8:
        weights = np.array([19595, 38470, 7471], np.uint32)
        return ((image[:, :, :3] @ weights + 0x8000) >> 16).astype(np.uint8)[:, :, None]
    gray: Array = image[:, :, :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    return gray[:, :, None]


def _crop(image: Array, aspect: float, fraction: float) -> Array:
    """Return the middle of ``image`` with ``height / width == aspect``, times ``fraction``."""
    top, left, height, width = _kept(image.shape[0], image.shape[1], aspect, fraction)
    return image[top : top + height, left : left + width]


def _kept(height: int, width: int, aspect: float, fraction: float) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of what ``crop`` keeps."""
    kept_height = min(height, int(width * aspect))
    kept_width = min(width, int(height / aspect))
    kept_height = max(1, round(kept_height * fraction))
    kept_width = max(1, round(kept_width * fraction))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return top, left, kept_height, kept_width


def _look_up(table: Array, image: Array) -> Array:
    """Return ``table[level, channel]`` for every pixel, NHWC; ``table`` is (256, 1 or channels)."""
    if table.shape[1] == 1:
        return table[:, 0].take(image)[None]
    found = np.empty((1, *image.shape), table.dtype)
    for channel in range(table.shape[1]):
        found[0, :, :, channel] = table[:, channel].take(image[:, :, channel])
    return found


def _look_up_pairs(tables: tuple[Array, ...], image: Array) -> Array:
    """Return what :func:`_look_up` does as uint8, two levels at a time: in half the time.

    ``tables`` has one entry a pair of channels that follow each other, in turns; ``image`` is uint8, C order.
    """
    pairs = image.reshape(-1).view(np.uint16).reshape(-1, len(tables))
    found = np.empty(pairs.shape, np.uint16)
    for k, table in enumerate(tables):
        found[:, k] = table.take(pairs[:, k])
    return found.reshape(-1).view(np.uint8).reshape(1, *image.shape)


@lru_cache(maxsize=16)
def _table(spec: ImagePreprocess) -> npt.NDArray[np.float32]:
    """Return the model's value of every level: float32 (256, 1), or (256, 3) where the channels differ."""
    low, high = spec.range
    same = len(set(spec.mean)) == 1 and len(set(spec.std)) == 1
    channels = 1 if same else spec.channels
    level = np.arange(256, dtype=np.float64)[:, None]
    mean = np.array(per_channel(spec.mean[:1] if same else spec.mean, channels))
    std = np.array(per_channel(spec.std[:1] if same else spec.std, channels))
    table: npt.NDArray[np.float32] = ((low + level / 255.0 * (high - low) - mean) / std).astype(np.float32)
    return table


@lru_cache(maxsize=16)
def _quantized_table(
    spec: ImagePreprocess, scale: float, zero_point: int, dtype: str
) -> tuple[Array, int | None]:
    """Return :func:`_table` in the model's integers, and the byte whose XOR does the same, or None."""
    table = quantmath.quantize(_table(spec), scale, zero_point, np.dtype(dtype))
    if table.shape[1] == 1 and table.itemsize == 1:
        for flip in (0, 0x80):
            if np.array_equal(table[:, 0].view(np.uint8), np.arange(256, dtype=np.uint8) ^ np.uint8(flip)):
                return table, flip
    return table, None


@lru_cache(maxsize=4)
def _pair_tables(spec: ImagePreprocess, scale: float, zero_point: int, dtype: str) -> tuple[Array, ...]:
    """Return :func:`_quantized_table` of one byte for two levels at a time: uint16 (65536,) each.

    One table where the channels are alike; else three, as two by two the pairs of three channels repeat.
    """
    table = _quantized_table(spec, scale, zero_point, dtype)[0].view(np.uint8)
    channels = table.shape[1]
    levels = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    found = []
    for k in range(channels):
        pair = np.empty_like(levels)
        for byte in (0, 1):
            pair[:, byte] = table[levels[:, byte], (2 * k + byte) % channels]
        found.append(pair.reshape(-1).view(np.uint16))
    return tuple(found)
