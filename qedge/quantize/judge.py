"""Judges candidates on a few samples, as if there were many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Graph
from qedge.graph.outputs import outputs_of, tensor_named, with_outputs
from qedge.processing.affine import OUTPUTS_KEY, finishes_in
from qedge.quantize.compare import Comparison, Tally
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel

Array = npt.NDArray[Any]
MOST_PAIRED = 64
MOST_AT_ONCE = 200_000  # values that pairs make at once
CONFIDENCE = 0.9
HOTTEST = 64.0
FIRST = 32  # samples after which a candidate that is far behind is given up
FAR_BEHIND = 1.5  # dB


@dataclass(frozen=True)
class Verdict:
    """What a candidate did.

    Args:
        comparison: with the float model, on the judge's samples, or on the first of them where it was given up.
        score: SQNR in dB to rank candidates by.
        first: the score after the first samples.
        changed: share of the answers that its errors change, over all pairs of a sample and another one's error;
            None where the score pairs nothing.
        expected: SQNR in dB that other samples will show, where the judge tells that; else infinite.
    """

    comparison: Comparison
    score: float
    first: float
    changed: float | None = None
    expected: float = math.inf


class Judge:
    """The float model's outputs on some samples, kept to compare several quantised models with.

    Behind a softmax only the few samples tell anything that the model is in doubt about, so the SQNR of some
    dozen samples is mostly luck. There the score pairs the error that each sample shows ahead of the softmax
    with the float values of all others, and takes the SQNR over all pairs. Calibration samples are often those
    that the model was trained with, on which it has no doubt at all: a temperature brings its mean confidence
    down to 0.9. With ``ranks=False`` there is one candidate, and its score is the plain SQNR.

    One sample between two classes may cost more than a hundred others. With :meth:`expecting` a verdict has the SQNR
    over all pairs without a temperature too: what the noise does where it meets such a sample.
    """

    def __init__(
        self,
        model: FloatModel,
        dataset: Dataset,
        indices: Iterable[int],
        *,
        threads: int = 2,
        ranks: bool = True,
    ) -> None:
        self.dataset, self.indices, self.threads = dataset, list(indices), threads
        self._graph = graph = model.graph
        self._outputs = len(graph.outputs)
        self._final, self._inner = _final(graph) if ranks and self._outputs == 1 else (None, None)
        self._expects = False
        runner = Runner(self._with_inner(graph.data), threads=threads)
        self.expected = [runner.predict(dataset[i]) for i in self.indices]
        self._temperature = self._calm() if self._final is not None else 1.0

    def of(self, indices: Iterable[int]) -> Judge:
        """Return a judge by some of the samples."""
        found = copy(self)
        chosen = list(indices)
        known = dict(zip(self.indices, self.expected))
        found.indices, found.expected = chosen, [known[i] for i in chosen]
        found._temperature = found._calm() if found._final is not None else 1.0
        return found

    def expecting(self) -> Judge:
        """Return a judge by the same samples that also tells what other ones will show."""
        found = copy(self)
        found._expects = True
        return found

    def judge(self, model: bytes, best: Verdict | None = None) -> Verdict:
        """Run a quantised model on the same samples.

        Args:
            best: another candidate's verdict: one that is far behind it after a few samples is given up there.
        """
        runner = Runner(self._with_inner(model), threads=self.threads)
        tally = Tally(self._graph, self.dataset)
        errors: list[Array] = []
        # Neighbours are often alike: the first samples are spread over all of them.
        step = max(1, len(self.indices) // FIRST)
        spread = range(0, len(self.indices), step)[:FIRST]
        first = self._run(runner, tally, errors, spread)
        if len(spread) == len(self.indices) or (best is not None and first.score < best.first - FAR_BEHIND):
            return first
        rest = [k for k in range(len(self.indices)) if k not in spread]
        return replace(self._run(runner, tally, errors, rest), first=first.score)

    def _run(self, runner: Runner, tally: Tally, errors: list[Array], places: Iterable[int]) -> Verdict:
        """Take in the samples at these places among the judge's own, and say what is known by then."""
        n = self._outputs
        for k in places:
            i, expected = self.indices[k], self.expected[k]
            found = runner.predict(self.dataset[i])
            tally.add(i, expected[:n], found[:n])
            if self._final is not None:
                errors.append(found[n] - expected[n])
        result = tally.result()
        if self._final is None:
            return Verdict(result, result.sqnr_db, result.sqnr_db)
        score = self._paired(errors, self._temperature)
        foreseen = self._paired(errors, 1.0) if self._expects else math.inf
        return Verdict(result, score, score, self._changed(errors), foreseen)

    def _paired(self, errors: list[Array], temperature: float) -> float:
        """Return the SQNR behind the final operator over all pairs of a sample and another one's error."""
        inner, noise = self._inner_values, 0.0
        real = self._finish(inner, temperature)
        for some in _batches(errors, inner.size):
            found = self._finish(inner + some, temperature)
            found -= real
            noise += float(np.square(found, out=found).sum())
        signal = float(np.square(real).sum()) * len(errors)
        return 10 * math.log10(signal / noise) if noise and signal else math.inf

    def _changed(self, errors: list[Array]) -> float:
        """Return the share of answers that differ, over all pairs of a sample and another one's error."""
        inner = self._inner_values
        real = self._answers(inner)
        differ = sum(int((self._answers(inner + e) != real).sum()) for e in _batches(errors, inner.size))
        return differ / (len(errors) * real.size)

    @property
    def _inner_values(self) -> Array:
        """What the final operator reads for some of the samples, float64, samples first."""
        return np.stack([e[self._outputs].astype(np.float64) for e in self.expected[:MOST_PAIRED]])

    def _answers(self, inner: Array) -> Array:
        """Return what is answered for each sample: the class, or which sigmoids are above one half."""
        found: Array = inner > 0 if self._final == "LOGISTIC" else inner.argmax(axis=-1)
        return found

    def _calm(self) -> float:
        """Return the temperature at which the mean confidence is CONFIDENCE, at least 1."""
        inner = np.stack([e[self._outputs].astype(np.float64) for e in self.expected])
        low, high = 1.0, HOTTEST
        for _ in range(20):
            middle = math.sqrt(low * high)
            scores = self._finish(inner, middle)
            sure = np.maximum(scores, 1 - scores) if self._final == "LOGISTIC" else scores.max(axis=-1)
            low, high = (middle, high) if sure.mean() > CONFIDENCE else (low, middle)
        return low

    def _finish(self, values: Array, temperature: float) -> Array:
        values = values / temperature
        if self._final == "LOGISTIC":
            with np.errstate(over="ignore"):  # far below the threshold it is 0
                result: Array = 1 / (1 + np.exp(-values))
            return result
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        result = powers / powers.sum(axis=-1, keepdims=True)
        return result

    def _with_inner(self, model: bytes) -> bytes:
        """Return the model with what goes into its final operator as a further output."""
        if self._inner is None:
            return model
        return with_outputs(model, [*outputs_of(model), tensor_named(model, self._inner)])


def _final(graph: Graph) -> tuple[str | None, str | None]:
    """Return the softmax or sigmoid that ends a model, or that is left to be done behind it, and what it reads."""
    (output,) = graph.outputs
    if finishes_in(graph.metadata.get(OUTPUTS_KEY, b"")).get(0) == "softmax":
        return "SOFTMAX", graph.tensors[output].name
    maker = graph.producer.get(output)
    if maker is None or maker.op not in ("SOFTMAX", "LOGISTIC"):
        return None, None
    return maker.op, graph.tensors[maker.inputs[0]].name


def _batches(errors: list[Array], size: int) -> Iterator[Array]:
    """Yield the errors as (some, 1, ...), so that a batch beside ``size`` values stays small."""
    most = max(1, MOST_AT_ONCE // max(1, size))
    for start in range(0, len(errors), most):
        yield np.stack(errors[start : start + most])[:, None]
