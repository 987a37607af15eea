"""Whatever is an image, as levels: arrays, pillow images and files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.errors import DataError, ToolError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ON_ITS_SIDE = 5
"""First EXIF orientation that swaps width and height."""


def as_hwc(sample: Any) -> Array:
    """Return (H, W, 1|3|4), uint8 or float32, from whatever is an image."""
    if isinstance(sample, np.ndarray):
        image = sample
    elif isinstance(sample, (str, os.PathLike)):
        image = _read(os.fspath(sample))
    elif hasattr(sample, "getbands"):
        image = _from_pillow(sample)
    else:
        raise DataError(
            f"found {type(sample).__name__}, expected an image",
            hint="hand over a path, a pillow image, or an array (height, width, 3) of uint8",
        )
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise DataError(
            f"found an array of shape {list(np.shape(sample))}, expected an image",
            hint="(height, width), (height, width, 1 | 3 | 4), or the same with batch 1",
        )
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise DataError(
            f"found an image of {image.dtype}, expected uint8 or float levels from 0 to 255",
            hint=_TYPE_HINTS.get(image.dtype.name, "image.astype(np.uint8), where its levels are 0 to 255"),
        )
    image = image.astype(np.float32, copy=False)
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError("the image holds NaN or infinity, expected levels from 0 to 255")
    hint = _level_hint(image, low, high)
    if hint is not None:
        raise DataError(
            f"found float levels from {low:g} to {high:g}, expected levels from 0 to 255", hint=hint
        )
    return image


def size_of(sample: Any) -> tuple[int, int]:
    """Return (height, width) of what :func:`as_hwc` takes, upright: of a file from its header, else from its shape."""
    if isinstance(sample, (str, os.PathLike)):
        try:
            from PIL import Image
        except ImportError:
            raise ToolError("reading an image file needs pillow", hint="pip install pillow") from None
        with Image.open(sample) as image:
            return _upright_size(image)
    if hasattr(sample, "getbands"):
        return _upright_size(sample)
    shape = np.shape(sample)
    height, width = shape[1:3] if len(shape) == 4 else shape[:2]
    return height, width


def _upright_size(image: Any) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if orientation_of(image) >= ON_ITS_SIDE else (height, width)


def orientation_of(image: Any) -> int:
    """Return the EXIF orientation of a pillow image, 1 to 8; 1 where it has none that holds."""
    turned = image.getexif().get(0x0112, 1)
    return turned if isinstance(turned, int) and 1 <= turned <= 8 else 1


_TYPE_HINTS = {
    "uint16": "a 16-bit image: (image // 257).astype(np.uint8)",
    "int8": "the model's own integers go to model.run; a photo is uint8",
    "int16": "the model's own integers go to model.run; a photo is uint8",
    "bool": "image.astype(np.uint8) * 255",
}
NORMALISED_BELOW = 4.0
"""Fractions that end below this level are no photo, but one that was normalised."""


def _level_hint(image: Array, low: float, high: float) -> str | None:
    """Return what to do about float levels that are none of 0 to 255; None where they are."""
    if low == high == 0:
        return None
    below, above = low < -0.5, high > 255.5  # half a level is no error
    if low >= -16 and NORMALISED_BELOW < high <= 271 and (below or above):
        return "a resize that overshoots? np.clip(image, 0, 255)"
    if above:
        return "a 16-bit image? divide by 257"
    if low >= 0 and high <= 1:
        return "hand over the uint8 image, or multiply by 255"
    fractions = high <= NORMALISED_BELOW and bool((image != np.rint(image)).any())
    if below or fractions:
        return "it was normalised already: hand over the image as it is, the bundle normalises it"
    return None


def _read(path: str) -> Array:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ToolError("reading an image file needs pillow", hint="pip install pillow") from None
    try:
        with Image.open(path) as image:
            return _from_pillow(image)
    except UnidentifiedImageError:
        raise DataError(f"{path}: no image that pillow knows") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", hint="check the path of the image") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as problem:
        raise DataError(f"{path}: cannot read the image: {problem}") from None


def header_problem(path: str) -> str | None:
    """Return why an image file cannot be a sample, in a few words, from its header alone; None where it can."""
    try:
        from PIL import Image
    except ImportError:
        raise ToolError("reading an image file needs pillow", hint="pip install pillow") from None
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                return f"{image.mode}: more than 8 bits a channel: save it with 8"
            return None if min(image.size) > 0 else "no pixels"
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return "empty" if os.path.getsize(path) == 0 else "damaged, or another format than its name says"


def _from_pillow(image: Any) -> Array:
    """Return uint8 (H, W) or (H, W, 3), turned upright as the EXIF orientation says."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    mode = "L" if upright.mode in ("1", "L", "LA", "I;16", "I", "F") else "RGB"
    if upright.mode in ("I;16", "I", "F"):
        raise DataError(f"found an image of mode {upright.mode}, expected 8 bits a channel")
    return np.asarray(upright if upright.mode == mode else upright.convert(mode))
