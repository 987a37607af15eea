"""Float model against quantised model on the same samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.errors import DataError
from qedge.quantize.calibrate import Progress
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]


class Sqnr:
    """Signal to quantisation noise over many arrays: ``10*log10(sum(x^2) / sum((x - quantised x)^2))``."""

    def __init__(self) -> None:
        self.signal = 0.0
        self.noise = 0.0

    def add(self, real: Array, quantised: Array) -> None:
        """Take in one pair of arrays of the same shape."""
        wide = real.astype(np.float64).reshape(-1)
        error = wide - quantised.astype(np.float64).reshape(-1)
        self.signal += float(wide @ wide)
        self.noise += float(error @ error)

    @property
    def db(self) -> float:
        """The ratio in dB; ``inf`` without noise, ``-inf`` with noise alone."""
        if self.noise == 0.0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


@dataclass(frozen=True)
class Comparison:
    """What quantisation cost on a set of samples.

    Args:
        samples: number of them.
        sqnr_db: over all outputs.
        metric: ``top1`` where the samples have labels and the first output scores classes, else None.
        float_metric: the metric of the float model, 0 to 1, or None.
        quantized_metric: the metric of the quantised model.
        agreement: share of samples with the same top class, or None where the output scores no classes.
        output_sqnr_db: the same for each output.
    """

    samples: int
    sqnr_db: float
    metric: str | None
    float_metric: float | None
    quantized_metric: float | None
    agreement: float | None
    output_sqnr_db: tuple[float, ...]


class Tally:
    """Adds up a :class:`Comparison`, one sample at a time."""

    def __init__(self) -> None:
        self.outputs: list[Sqnr] = []
        self.total = Sqnr()
        self.samples = self.same = self.scored = self.labelled = self.right_float = self.right = 0

    def add(
        self, sample: Sequence[Array], expected: list[Array], found: list[Array], label: int | None
    ) -> None:
        """Take in the outputs of both models for one sample."""
        self.samples += 1
        self.outputs = self.outputs or [Sqnr() for _ in expected]
        for sqnr, a, b in zip(self.outputs, expected, found):
            sqnr.add(a, b)
            self.total.add(a, b)
        if not _scores_classes(sample, expected):
            return
        top_float, top = _top(expected[0]), _top(found[0])
        self.scored += 1
        self.same += top_float == top
        if label is not None:
            self.labelled += 1
            self.right_float += top_float == label
            self.right += top == label

    def result(self) -> Comparison:
        """Return the sums so far."""
        return Comparison(
            samples=self.samples,
            sqnr_db=self.total.db,
            metric="top1" if self.labelled else None,
            float_metric=self.right_float / self.labelled if self.labelled else None,
            quantized_metric=self.right / self.labelled if self.labelled else None,
            agreement=self.same / self.scored if self.scored else None,
            output_sqnr_db=tuple(s.db for s in self.outputs),
        )


def _scores_classes(sample: Sequence[Array], outputs: list[Array]) -> bool:
    """Whether there is one output that scores classes: a vector or one probability, no reconstruction."""
    if (
        len(outputs) != 1
        or outputs[0].dtype.kind != "f"
        or outputs[0].size != max(outputs[0].shape, default=1)
    ):
        return False
    return all(outputs[0].size != x.size for x in sample)


def _top(output: Array) -> int:
    """Return the top class; a single probability counts as class 1 from 0.5 on."""
    return int(output.reshape(-1)[0] >= 0.5) if output.size == 1 else int(np.argmax(output))


def label_of(dataset: Dataset, i: int) -> int | None:
    """Return the class index of a sample, or None."""
    return None if dataset.labels is None else int(dataset.labels[i])


def compare(
    float_model: bytes,
    int8_model: bytes,
    dataset: Dataset,
    progress: Progress | None = None,
    *,
    indices: Iterable[int] | None = None,
    threads: int = 2,
) -> Comparison:
    """Return what quantisation cost on the samples of ``dataset``; none of them is kept.

    Args:
        indices: the samples to run; all by default.

    Raises:
        DataError: there are no samples.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)
    if not chosen:
        raise DataError("there are no samples to compare on", hint="pass a folder or file with samples")
    real, quantised = Runner(float_model, threads=threads), Runner(int8_model, threads=threads)
    tally = Tally()
    for done, i in enumerate(chosen):
        sample = dataset[i]
        tally.add(sample, real.predict(sample), quantised.predict(sample), label_of(dataset, i))
        if progress is not None:
            progress("compare", done + 1, len(chosen))
    return tally.result()
