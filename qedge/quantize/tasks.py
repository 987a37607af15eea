"""What an output is asked for: a class, yes or no, many labels, a number ... and from that, what counts as a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qedge.datasets.outputs import OutputInfo

Kind = Literal["classes", "yes_no", "many_labels", "places", "values", "vector", "index", "boxes"]
Truth = npt.NDArray[Any]


@dataclass(frozen=True)
class Task:
    """What an output is asked for.

    ``classes``: the largest value is the answer. ``yes_no``: one value, yes from ``threshold`` on.
    ``many_labels``: each value is a yes or no of its own. ``places``: a map, one class (or yes) at each place.
    ``index``: whole numbers. ``boxes``: the objects that a detector's post-processing makes of all outputs.
    ``values``: numbers. ``vector``: numbers that nothing says more of: they may be scores of classes or
    coordinates, so that the share of equal answers is told, but no loss is judged by it.

    Args:
        kind: one of these.
        threshold: of ``yes_no``, ``many_labels`` and a map of one channel.
    """

    kind: Kind
    threshold: float = 0.5

    @property
    def decides(self) -> bool:
        """Whether the answer is a decision, which is the same or another, and not a number."""
        return self.kind not in ("values", "vector")


def task_of(info: OutputInfo, truth: Truth | None = None, names: Sequence[str] | None = None) -> Task:
    """Return what an output is asked for.

    Args:
        truth: what it should have said, one entry a sample, where that is known: int64 class indices, whole
            numbers 0 and 1 for yes and no, bool for many labels, float64 for numbers.
        names: names of the classes, where they are known.

    >>> task_of(OutputInfo("scores", (1, 1), "sigmoid"))
    Task(kind='yes_no', threshold=0.5)
    >>> task_of(OutputInfo("age", (1, 1), "linear"), np.array([18.0, 33.0])).kind
    'values'
    """
    if info.ending == "index":
        return Task("index")
    numbers = truth is not None and truth.dtype.kind == "f"
    if numbers:
        return Task("values")
    threshold = 0.5 if info.ending == "sigmoid" else 0.0
    if info.size == 1:
        decided = info.ending == "sigmoid" or truth is not None
        return Task("yes_no", threshold) if decided else Task("values")
    if info.is_vector:
        if truth is not None and truth.dtype.kind == "b":
            return Task("many_labels", threshold)
        if truth is not None or info.ending == "softmax":
            return Task("classes")
        if info.ending == "sigmoid":
            return Task("many_labels", threshold)
        if info.reconstruction:
            return Task("values")
        return Task("classes" if names is not None and len(names) == info.size else "vector")
    if info.ending in ("softmax", "sigmoid") or truth is not None:
        return Task("places", threshold)
    return Task("values")


def decisions(values: npt.NDArray[Any], task: Task, info: OutputInfo) -> npt.NDArray[Any]:
    """Return the decisions in an output of one sample, flat: class indices, or bool for yes and no.

    A tie goes to the first class, as an argmax on the device does.
    """
    if task.kind == "index":
        return np.asarray(values).reshape(-1)
    if task.kind in ("classes", "vector"):
        return np.array([int(np.argmax(values))])
    if task.kind == "places" and info.shape[-1] > 1 and info.ending != "sigmoid":
        return np.asarray(values.reshape(-1, info.shape[-1]).argmax(axis=1))
    return np.asarray(values.reshape(-1) >= task.threshold)
