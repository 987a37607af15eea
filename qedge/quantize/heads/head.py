"""What a tail is taken for: which tensors a head ends with, what they mean, and what the model's outputs do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qedge.processing.detect import Detect
from qedge.quantize.heads.views import View

if TYPE_CHECKING:
    from qedge.quantize.heads.probe import Probe

Array = npt.NDArray[Any]

SIDES, FIRST_CLASS = 4, 5
THRESHOLD, IOU, LIMIT = 0.25, 0.7, 300  # what Ultralytics predicts with


@dataclass(frozen=True)
class Head:
    """One reading of a head.

    Args:
        tensors: the outputs of the model without its tail, in the order in which ``cut`` reads them.
        names: of those outputs.
        cut: what they mean.
        whole: what the outputs of the model as it came mean.
        view: how the model's outputs are put together before ``whole`` reads them; None: as they are.
        settled: returns the head with what the tail alone tells, its anchors; None where that is no such tail. None:
            nothing is missing.
        order: where each place of ``cut`` is in the model's outputs; None: they have the same order.
    """

    tensors: tuple[int, ...]
    names: tuple[str, ...]
    cut: Detect
    whole: Detect
    view: View | None = None
    settled: Callable[[Head, Probe], Head | None] | None = None
    order: npt.NDArray[np.intp] | None = None

    def together(self, outputs: Sequence[Array]) -> Sequence[Array]:
        """Return the outputs of the model as it came as ``whole`` reads them."""
        return outputs if self.view is None else self.view.together(outputs)


@dataclass(frozen=True)
class Level:
    """The tail's tensors of one stride."""

    stride: int
    tensors: tuple[int, ...]


def named(levels: Sequence[Level], *kinds: str) -> tuple[str, ...]:
    """Return names of outputs, all levels of a kind one after the other."""
    return tuple(f"{kind}_{level.stride}" for kind in kinds for level in levels)


def readings(
    output: Sequence[int], places: int, channels: int, size: tuple[int, int], form: str
) -> Iterator[Detect]:
    """Yield a decoded output in either layout, its boxes in pixels or as shares of the input."""
    for axis, shape in ((-1, (1, places, channels)), (1, (1, channels, places))):
        if tuple(output) == shape or (output[2] == 0 and axis == -1 and output[1] == places):
            for scale in (size, (1, 1)):
                yield Detect(
                    form, threshold=THRESHOLD, iou=IOU, limit=LIMIT, score_form="probabilities",
                    channel_axis=axis, input_size=scale,
                )  # fmt: skip
