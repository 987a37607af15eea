"""Runs the float model over samples and reduces what its activations do, one sample at a time.

Nothing of a sample is kept, so the memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.errors import DataError
from qedge.graph.outputs import with_outputs
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import Range

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]


class Reducer(Protocol):
    """Something that reduces the activations of a float model."""

    def observe(self, tensor: int, values: Array) -> None:
        """Take in one activation of one sample; ``values`` is only valid during the call."""


class Observer(Reducer, Protocol):
    """A reducer that says what it wants to see."""

    @property
    def tensors(self) -> Collection[int]:
        """The activations that it wants to see; it may be shown others."""


class Only:
    """Shows another observer some of the activations.

    Args:
        tensors: which; others are passed over.
    """

    def __init__(self, observer: Reducer, tensors: Collection[int]) -> None:
        self.observer, self.tensors = observer, frozenset(tensors)

    def observe(self, tensor: int, values: Array) -> None:
        """Take in one activation of one sample."""
        if tensor in self.tensors:
            self.observer.observe(tensor, values)


class MinMax:
    """True smallest and largest value of each activation."""

    def __init__(self) -> None:
        self.ranges: dict[int, Range] = {}

    def merged(self, other: MinMax) -> MinMax:
        """Return what both have seen."""
        found = MinMax()
        found.ranges = dict(self.ranges)
        for tensor, (low, high) in other.ranges.items():
            known = found.ranges.get(tensor, (low, high))
            found.ranges[tensor] = min(known[0], low), max(known[1], high)
        return found

    def observe(self, tensor: int, values: Array) -> None:
        low, high = float(values.min()), float(values.max())
        known = self.ranges.get(tensor)
        self.ranges[tensor] = (low, high) if known is None else (min(known[0], low), max(known[1], high))


class Scaled:
    """Shows another observer activations whose channels are divided by factors.

    Args:
        factors: by tensor, one a channel of the last axis; other tensors are passed over.
    """

    def __init__(self, observer: Reducer, factors: Mapping[int, npt.NDArray[np.float32]]) -> None:
        self.observer, self.factors = observer, factors

    @property
    def tensors(self) -> Collection[int]:
        """The activations that have factors."""
        return self.factors.keys()

    def observe(self, tensor: int, values: Array) -> None:
        """Take in one activation of one sample."""
        factor = self.factors.get(tensor)
        if factor is not None:
            self.observer.observe(tensor, values / factor)


def calibrate(
    model: FloatModel,
    dataset: Dataset,
    observers: Sequence[Reducer],
    *,
    tensors: Sequence[int],
    indices: Iterable[int] | None = None,
    apart: tuple[Collection[int], Sequence[Reducer]] = ((), ()),
    threads: int = 2,
    progress: Progress | None = None,
    stage: str = "calibrate",
) -> None:
    """Run samples through the float model and show activations to the observers.

    Args:
        tensors: the activations to show.
        indices: the samples to run; all by default.
        apart: samples that are shown to other observers, and those.
        progress: called with the stage, samples done and samples in all.

    Raises:
        DataError: no samples, or an activation that is NaN or infinite.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)
    if not chosen:
        raise DataError("the calibration set is empty", hint="pass a folder or file with samples")
    inner = [t for t in tensors if t not in model.graph.inputs]
    runner = Runner(with_outputs(model.data, inner), threads=threads)
    where = [int(d["index"]) for d in runner.outputs]
    entries = [(k, t) for k, t in enumerate(model.graph.inputs) if t in tensors]
    for done, i in enumerate(chosen):
        sample = dataset[i]
        runner.run(sample)
        sample = runner.stepped(sample)
        for observer in apart[1] if i in apart[0] else observers:
            for k, t in entries:
                observer.observe(t, sample[k])
            for tensor, index in zip(inner, where):
                observer.observe(tensor, runner.view(index))
        if progress is not None:
            progress(stage, done + 1, len(chosen))


def check_finite(model: FloatModel, ranges: dict[int, Range]) -> None:
    """Raise when an activation was NaN or infinite.

    Raises:
        DataError: naming the first such tensor.
    """
    for tensor, (low, high) in ranges.items():
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError(
                f"calibration found {low} to {high} in tensor {model.graph.tensors[tensor].name!r},"
                " expected finite numbers",
                hint="check the samples: wrong units or a forgotten normalisation make a model overflow",
            )
