"""Runs the float model over samples and reduces what its activations do, one sample at a time.

Nothing of a sample is kept, so the memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.errors import DataError
from qedge.graph.outputs import with_outputs
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import Range, derived

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]


class Observer(Protocol):
    """Something that reduces the activations of a float model."""

    def observe(self, tensor: int, values: Array) -> None:
        """Take in one activation of one sample; ``values`` is only valid during the call."""


class MinMax:
    """True smallest and largest value of each activation."""

    def __init__(self) -> None:
        self.ranges: dict[int, Range] = {}

    def observe(self, tensor: int, values: Array) -> None:
        low, high = float(values.min()), float(values.max())
        known = self.ranges.get(tensor)
        self.ranges[tensor] = (low, high) if known is None else (min(known[0], low), max(known[1], high))


class Scaled:
    """Shows another observer activations whose channels are divided by factors.

    Args:
        factors: by tensor, one a channel of the last axis; other tensors are passed over.
    """

    def __init__(self, observer: Observer, factors: Mapping[int, npt.NDArray[np.float32]]) -> None:
        self.observer, self.factors = observer, factors

    def observe(self, tensor: int, values: Array) -> None:
        """Take in one activation of one sample."""
        factor = self.factors.get(tensor)
        if factor is not None:
            self.observer.observe(tensor, values / factor)


def calibrate(
    model: FloatModel,
    dataset: Dataset,
    observers: Sequence[Observer],
    *,
    indices: Iterable[int] | None = None,
    tensors: Iterable[int] | None = None,
    threads: int = 2,
    progress: Progress | None = None,
    stage: str = "calibrate",
) -> None:
    """Run samples through the float model and show activations to the observers.

    Args:
        tensors: the activations to show; by default all whose range does not follow from another one's.
        indices: the samples to run; all by default.
        progress: called with the stage, samples done and samples in all.

    Raises:
        DataError: no samples, or an activation that is NaN or infinite.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)
    if not chosen:
        raise DataError("the calibration set is empty", hint="pass a folder or file with samples")
    if tensors is None:
        known = derived(model.graph)
        tensors = [t for t in model.activations if t not in known]
    inner = [t for t in tensors if t not in model.graph.inputs]
    runner = Runner(with_outputs(model.data, inner), threads=threads)
    where = [int(d["index"]) for d in runner.outputs]
    floats = [k for k, t in enumerate(model.graph.inputs) if model.graph.tensors[t].dtype == "float32"]
    for done, i in enumerate(chosen):
        sample = dataset[i]
        runner.run(sample)
        sample = runner.stepped(sample)
        for observer in observers:
            for k in floats:
                observer.observe(model.graph.inputs[k], sample[k])
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
