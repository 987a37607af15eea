"""What a detector found in an image that was handed over, in the pixels of that image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qedge.errors import UsageError
from qedge.processing.detect import Detect, Detection, in_pixels
from qedge.processing.image import ImagePreprocess
from qedge.processing.levels import size_of

if TYPE_CHECKING:
    from qedge.processing.spec import Preprocess
    from qedge.runtime.result import Result


def remembered(sample: Any, preprocess: Preprocess | None) -> tuple[int, int] | None:
    """Return what a result keeps of its image: (height, width), which holds no memory and outlives its file."""
    if not isinstance(preprocess, ImagePreprocess):
        return None  # such boxes have no place in an image
    if isinstance(sample, (list, tuple)):  # of several inputs the image is the first
        sample = sample[0]
    return size_of(sample)


def objects_of(
    result: Result, size: tuple[int, int] | None, preprocess: Preprocess | None
) -> list[Detection]:
    """Return the objects of a result, the surest first, boxes and points in pixels of the upright image.

    Args:
        result: of the model.
        size: what was :func:`remembered` of the image.
        preprocess: of the bundle.

    Raises:
        UsageError: the model finds no objects, or its bundle does not say how an image becomes its input.
    """
    post = result.postprocess
    if not isinstance(post, Detect):
        kind = "raw" if post is None else post.kind
        raise UsageError(f"the model's post-processing is {kind!r}, no objects", hint="use result.value")
    if size is None or not isinstance(preprocess, ImagePreprocess):
        raise UsageError(
            "nothing says how an image becomes the model's input, so its boxes are shares of that",
            hint="use result.value; or state the pre-processing when building: qedge build --range 0,1 --fit letterbox",
        )
    return in_pixels(result.value, preprocess, *size)
