"""Float model against quantised model on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.labels import truths_of
from qedge.datasets.outputs import OutputInfo, output_infos
from qedge.datasets.protocol import Dataset, Truths
from qedge.errors import DataError
from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.processing.spec import Postprocess
from qedge.quantize.answers import AnswerLog, Answers, Row
from qedge.quantize.boxes import Objects, ObjectTally
from qedge.quantize.calibrate import Progress
from qedge.quantize.figures import OutputFigures, OutputTally, decibels
from qedge.quantize.interpreter import Runner
from qedge.quantize.sums import Sums
from qedge.quantize.tasks import Task, task_of
from qedge.shards import Executor, Here, portions_of
from qedge.shards.protocol import Tick

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
        return decibels(self.signal, self.noise)


@dataclass(frozen=True)
class Comparison:
    """What quantisation cost on a set of samples: each output by itself, and the worst of them.

    Args:
        samples: number of them.
        outputs: the figures of each output, in order.
        answers: what both models said of each sample, where an output gives one class.
    """

    samples: int
    outputs: tuple[OutputFigures, ...]
    answers: Answers | None = None

    @property
    def worst(self) -> OutputFigures:
        """The output of lowest SQNR, its parts counted apart."""
        return min(self.outputs, key=lambda o: o.worst_db)

    @property
    def sqnr_db(self) -> float:
        """SQNR of the worst output."""
        return self.worst.worst_db

    @property
    def output_sqnr_db(self) -> tuple[float, ...]:
        """SQNR of each output."""
        return tuple(o.sqnr_db for o in self.outputs)

    @property
    def scored(self) -> OutputFigures | None:
        """The output whose accuracy or F1 falls most, or None without labels of classes."""
        return max((o for o in self.outputs if o.is_share), key=lambda o: o.drop or 0.0, default=None)

    @property
    def metric(self) -> str | None:
        """``accuracy`` or ``f1`` of :attr:`scored`."""
        return self.scored.metric if self.scored else None

    @property
    def float_metric(self) -> float | None:
        """The metric of the float model, 0 to 1."""
        return self.scored.float_metric if self.scored else None

    @property
    def quantized_metric(self) -> float | None:
        """The metric of the quantised model, 0 to 1."""
        return self.scored.quantized_metric if self.scored else None

    @property
    def agreement(self) -> float | None:
        """Share of equal answers of the output where it is lowest; None where all answers are numbers."""
        return min((o.agreement for o in self.outputs if o.agreement is not None), default=None)


class Tally:
    """Adds up a :class:`Comparison`, one sample at a time.

    Args:
        graph: of the float model, whose operators say what each output is.
        dataset: labels and names of classes.
        postprocess: what the outputs become; of a detector the objects are compared too.

    Raises:
        DataError: labels that no output can have.
    """

    def __init__(self, graph: Graph, dataset: Dataset, postprocess: Postprocess | None = None) -> None:
        infos = output_infos(graph)
        self._truths = truths_of(dataset, infos)
        tasks = _tasks_of(infos, self._truths, dataset)
        self._outputs = [OutputTally(info, task) for info, task in zip(infos, tasks)]
        self._objects = ObjectTally(postprocess, dataset) if isinstance(postprocess, Detect) else None
        self.samples = 0

    def add(self, i: int, expected: Sequence[Array], found: Sequence[Array]) -> None:
        """Take in the outputs of both models for sample ``i`` of the dataset."""
        self.samples += 1
        for tally, truth, a, b in zip(self._outputs, self._truths, expected, found):
            tally.add(a, b, None if truth is None else truth[i])
        if self._objects is not None:
            self._objects.add(expected, found, i)

    def take(self) -> tuple[list[Sums], Objects | None]:
        """Return what was added up, and begin anew."""
        self.samples = 0
        return [tally.take() for tally in self._outputs], self._objects.take() if self._objects else None

    def merge(self, outputs: Sequence[Sums], objects: Objects | None) -> None:
        """Take in what another tally of the same dataset gave for later samples."""
        self.samples += outputs[0].samples
        for tally, later in zip(self._outputs, outputs):
            tally.merge(later)
        if self._objects is not None and objects is not None:
            self._objects.merge(objects)

    def log(self) -> AnswerLog:
        """Return a log, still empty, of the answers of the same outputs."""
        outputs = self._outputs
        return AnswerLog([o.info for o in outputs], [o.task for o in outputs], self._truths)

    def result(self) -> Comparison:
        """Return the sums so far."""
        outputs = [tally.result() for tally in self._outputs]
        if self._objects is not None:
            outputs.append(self._objects.result())
        return Comparison(self.samples, tuple(outputs))


def tasks_of(infos: Sequence[OutputInfo], dataset: Dataset) -> tuple[Task, ...]:
    """Return what each output is asked for, by the operators that make it and by the labels."""
    return _tasks_of(infos, truths_of(dataset, infos), dataset)


def _tasks_of(infos: Sequence[OutputInfo], truths: Truths, dataset: Dataset) -> tuple[Task, ...]:
    return tuple(task_of(info, truth, dataset.class_names) for info, truth in zip(infos, truths))


def compare(
    float_model: bytes,
    int8_model: bytes,
    dataset: Dataset,
    progress: Progress | None = None,
    *,
    indices: Iterable[int] | None = None,
    threads: int = 2,
    executor: Executor | None = None,
    postprocess: Postprocess | None = None,
) -> Comparison:
    """Return what quantisation cost on the samples of ``dataset``; none of them is kept.

    Args:
        indices: the samples to run; all by default.
        executor: who runs the models: this process by default. The figures are the same to the last bit.
        postprocess: what the outputs become; of a detector the objects are compared too, as a last entry of
            ``outputs`` that is called ``objects``.

    Raises:
        DataError: there are no samples, or labels that no output can have.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)
    if not chosen:
        raise DataError("there are no samples to compare on", hint="pass a folder or file with samples")
    job = Comparing(float_model, int8_model, dataset, threads, postprocess)
    sums, done = job.nothing(), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("compare", done, len(chosen))

    for found in (executor or Here()).run(job, portions_of(chosen), tick):
        sums.merge(found)
    return sums.result()


@dataclass(frozen=True)
class Comparing:
    """The job: both models on some samples, and what their outputs add up to."""

    float_model: bytes
    int8_model: bytes
    dataset: Dataset
    threads: int
    postprocess: Postprocess | None

    def nothing(self) -> Summing:
        """Return what there is before the first sample."""
        return Summing(Graph.from_bytes(self.float_model), self.dataset, self.postprocess)

    def begin(self) -> Callable[[Sequence[int], Tick], Summed]:
        """Return what runs both models on a portion."""
        real, quantised = (Runner(m, threads=self.threads) for m in (self.float_model, self.int8_model))
        sums = self.nothing()

        def work(portion: Sequence[int], tick: Tick) -> Summed:
            for i in portion:
                sample = self.dataset[i]
                sums.add(i, real.predict(sample), quantised.predict(sample))
                tick()
            return sums.take()

        return work


Summed = tuple[list[Sums], "Objects | None", list[Row]]


class Summing:
    """A :class:`Tally` and the answers beside it.

    Raises:
        DataError: labels that no output can have.
    """

    def __init__(self, graph: Graph, dataset: Dataset, postprocess: Postprocess | None) -> None:
        self._tally = Tally(graph, dataset, postprocess)
        self._log = self._tally.log()

    def add(self, i: int, expected: Sequence[Array], found: Sequence[Array]) -> None:
        """Take in the outputs of both models for sample ``i`` of the dataset."""
        self._tally.add(i, expected, found)
        self._log.add(i, expected, found)

    def take(self) -> Summed:
        """Return what was added up, and begin anew."""
        return (*self._tally.take(), self._log.take())

    def merge(self, later: Summed) -> None:
        """Take in what was added up over later samples."""
        outputs, objects, answers = later
        self._tally.merge(outputs, objects)
        self._log.merge(answers)

    def result(self) -> Comparison:
        """Return the sums so far."""
        return replace(self._tally.result(), answers=self._log.result())
