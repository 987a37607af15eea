"""Checks that look at the samples alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from qedge.datasets.examine import Examined
from qedge.datasets.protocol import Dataset
from qedge.findings import Finding

FEW = 10
_MORE = "give about 100 samples that look like what the device will see"


def unreadable(seen: Examined) -> Iterator[Finding]:
    """Samples that cannot be read, or hold NaN, are errors; the first is named."""
    if seen.errors:
        first, total = seen.errors[0], len(seen.errors) + seen.count
        message = f"{len(seen.errors)} of {total} samples cannot be used, such as {first.message}"
        yield Finding("error", "bad-sample", message, first.hint or "repair or remove them")


def few(seen: Examined, count: int) -> Iterator[Finding]:
    """Fewer samples than a range can be told from."""
    if count < FEW:
        message = f"the dataset holds {count} sample{'s' if count != 1 else ''}, expected at least {FEW}"
        yield Finding("warning", "few-samples", message, _MORE)


def one_class(dataset: Dataset) -> Iterator[Finding]:
    """All samples of one class."""
    labels = dataset.labels
    if labels is None or len(labels) < 2 or (labels != labels[0]).any():
        return
    names, index = dataset.class_names, int(labels[0])
    name = f"{names[index]!r}" if names and index < len(names) else str(index)
    message = f"all {len(labels)} samples are of the class {name}"
    yield Finding("warning", "one-class", message, "give samples of every class, in equal parts")


def duplicates(seen: Examined) -> Iterator[Finding]:
    """Samples that are equal to another one, when they are more than a few."""
    counts = Counter(seen.digests)
    repeated = seen.count - len(counts)
    if repeated < 2 or repeated < 0.1 * seen.count:
        return
    digest, times = counts.most_common(1)[0]
    message = (
        f"{repeated} of {seen.count} samples repeat another one: only {len(counts)} are different"
        f" ({seen.sources[seen.digests.index(digest)]} comes {times} times)"
    )
    yield Finding(
        "warning", "duplicate-samples", message, "remove the copies; they add nothing to the ranges"
    )


def constant(seen: Examined) -> Iterator[Finding]:
    """Inputs with one value throughout: black images, silent clips, an input that nobody filled."""
    for k, info in enumerate(seen.inputs):
        if int(np.prod(info.shape)) < 2:
            continue
        flat = seen.low[:, k] == seen.high[:, k]
        if flat.sum() < max(1, 0.2 * seen.count):
            continue
        first = int(np.argmax(flat))
        message = (
            f"{int(flat.sum())} of {seen.count} samples have one value throughout in the input {info.name!r},"
            f" such as {seen.sources[first]} ({seen.low[first, k]:g})"
        )
        yield Finding("warning", "constant-input", message, "remove empty samples", tensor=info.name)


def quantized(seen: Examined) -> Iterator[Finding]:
    """Integers that fill int8: probably the int8 input of a quantised model, not the float model's."""
    for k, info in enumerate(seen.inputs):
        low, high = seen.low[:, k].min(), seen.high[:, k].max()
        if seen.integer[:, k].all() and -128 <= low < -60 and 60 < high <= 127 and info.dtype == "float32":
            message = (
                f"the input {info.name!r} holds integers from {low:g} to {high:g}, expected the float model's"
                " units: these look like int8 values of a quantised model"
            )
            hint = "turn them back: (x - zero_point) * scale"
            yield Finding("warning", "quantized-values", message, hint, tensor=info.name)


def planar(seen: Examined) -> Iterator[Finding]:
    """Colour images whose numbers lie channel by channel (NCHW) in an array of the NHWC shape.

    Neighbouring pixels of an image are alike. When the numbers read as three planes are much smoother than
    read as pixels of three channels, they were reshaped where they should have been transposed.
    """
    for k, info in enumerate(seen.inputs):
        if len(info.shape) != 4 or info.shape[3] != 3 or min(info.shape[1:3]) < 8:
            continue
        images = [sample[k][0] for sample in seen.samples[:32]]
        ratios = [_roughness(i.reshape(3, *i.shape[:2]), 1) / max(_roughness(i, 0), 1e-12) for i in images]
        if float(np.median(ratios)) < 0.5:
            message = (
                f"the images of the input {info.name!r} lie channel by channel (NCHW), expected channels last"
                f" (NHWC): read as planes they are {1 / max(float(np.median(ratios)), 1e-3):.1f} times smoother"
            )
            hint = "transpose them, do not reshape: x.transpose(0, 2, 3, 1)"
            yield Finding("warning", "planar-layout", message, hint, tensor=info.name)


def _roughness(image: npt.NDArray[np.float32], axis: int) -> float:
    """Return the mean difference of neighbours along the two axes from ``axis`` on."""
    return float(sum(np.abs(np.diff(image, axis=a)).mean() for a in (axis, axis + 1)))


def uncovered(seen: Examined) -> Iterator[Finding]:
    """Samples whose values lie far outside the range that all others span.

    Each sample is held out in turn. One that doubles the range would clip on the device if it had not been in
    the set, or coarsens every other sample if it is.
    """
    if seen.count < FEW:
        return
    for k, info in enumerate(seen.inputs):
        low, high = seen.low[:, k], seen.high[:, k]
        for i in {int(low.argmin()), int(high.argmax())}:
            others = np.arange(seen.count) != i
            floor, ceiling = float(low[others].min()), float(high[others].max())
            excess = max(floor - low[i], 0.0) + max(float(high[i]) - ceiling, 0.0)
            if excess > ceiling - floor > 0:
                message = (
                    f"{seen.sources[i]} spans {low[i]:.4g} to {high[i]:.4g} in the input {info.name!r}, but the"
                    f" other {seen.count - 1} samples only {floor:.4g} to {ceiling:.4g}"
                )
                hint = "remove it if it is wrong; if such samples are usual, give more of them"
                yield Finding("warning", "uncovered-range", message, hint, tensor=info.name)
