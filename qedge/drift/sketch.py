"""What calibration looked like, in a few hundred bytes: ``drift.json`` of a bundle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qedge.bundle import canonical
from qedge.drift.statistics import STATISTICS, group_of, levels, statistics, stride_of
from qedge.errors import IntegrityError, QedgeError
from qedge.fields import Field

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.bundle.manifest import TensorSpec

    Array = npt.NDArray[Any]

DRIFT = "drift.json"
VERSION = 1
BINS = 8
GROUPS = 16
LEAST_SAMPLES = 20
MAX_SKETCH_BYTES = 64 << 10
KINDS = ("classes", "values")


class Histogram(NamedTuple):
    """How often a number fell between edges: ``counts[k]`` samples had ``edges[k - 1] <= number < edges[k]``."""

    edges: tuple[int, ...]
    counts: tuple[int, ...]

    def bin_of(self, number: int) -> int:
        """Return the bin that a number falls into."""
        return sum(number >= edge for edge in self.edges)


class Tensor(NamedTuple):
    """Which input or output is watched.

    Args:
        number: among the model's inputs or outputs.
        elements: of it, batch 1.
        stride: distance of neighbours in the flat tensor.
        low, step: how a float tensor becomes levels; 0 of an integer one.
    """

    number: int
    elements: int
    stride: int
    low: float = 0.0
    step: float = 0.0

    def statistics(self, arrays: Sequence[Array]) -> tuple[int, int, int]:
        """Return the three integers of one sample."""
        return statistics(levels(arrays[self.number], self.low, self.step), self.stride)


class Sketch(NamedTuple):
    """What the calibration samples and the model's answers to them looked like.

    Args:
        samples: how many there were.
        input: the watched input, with one histogram a statistic.
        output: the watched output; of a classifier (``kind`` "classes") one histogram of groups of classes, which has
            no edges; of anything else ("values") one a statistic.
    """

    samples: int
    input: Tensor
    inputs: tuple[Histogram, ...]
    kind: str
    output: Tensor
    outputs: tuple[Histogram, ...]

    def input_bins(self, arrays: Sequence[Array]) -> list[int]:
        """Return the bin of each input statistic for one sample's inputs."""
        return [h.bin_of(n) for h, n in zip(self.inputs, self.input.statistics(arrays))]

    def output_bins(self, arrays: Sequence[Array]) -> list[int]:
        """Return the bin of each output statistic for one sample's outputs, or its group of classes."""
        if self.kind == "classes":
            return [group_of(arrays[self.output.number], len(self.outputs[0].counts))]
        return [h.bin_of(n) for h, n in zip(self.outputs, self.output.statistics(arrays))]

    def check_fits(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], where: str) -> None:
        """Raise unless the watched tensors are among a model's inputs and outputs.

        Raises:
            IntegrityError: the sketch is another model's.
        """
        for what, tensor, specs in (("input", self.input, inputs), ("output", self.output, outputs)):
            sizes = [math.prod(spec.shape) for spec in specs]
            if tensor.number >= len(sizes) or sizes[tensor.number] != tensor.elements:
                raise IntegrityError(
                    f"{where}: $.{what}: {tensor.elements} values of number {tensor.number}, expected one of {sizes}"
                )
        if self.kind == "classes" and self.output.elements < len(self.outputs[0].counts):
            raise IntegrityError(f"{where}: $.outputs: more groups than the output has classes")

    def encoded(self) -> bytes:
        """Return the bytes of ``drift.json``."""
        document = {
            "version": VERSION,
            "samples": self.samples,
            "input": _tensor_json(self.input),
            "inputs": [_histogram_json(h) for h in self.inputs],
            "kind": self.kind,
            "output": _tensor_json(self.output),
            "outputs": [_histogram_json(h) for h in self.outputs],
        }
        return (canonical.dumps(document) + "\n").encode()

    @classmethod
    def decoded(cls, data: bytes, origin: str, error: type[QedgeError] = IntegrityError) -> Sketch:
        """Return the sketch in ``data``.

        Raises:
            IntegrityError: no JSON, or a wrong field.
        """
        document = canonical.document(data, origin, error, most=MAX_SKETCH_BYTES)
        keys = ("version", "samples", "input", "inputs", "kind", "output", "outputs")
        root = Field(document, f"{origin}: $", error).object(keys)
        root["version"].integer(VERSION, VERSION)
        kind = root["kind"].string(KINDS)
        return cls(
            root["samples"].integer(1, 1 << 31),
            _tensor(root["input"]),
            _histograms(root["inputs"], len(STATISTICS)),
            kind,
            _tensor(root["output"]),
            _histograms(root["outputs"], len(STATISTICS)) if kind == "values" else _groups(root["outputs"]),
        )


def make_sketch(
    inputs: Sequence[Sequence[Array]], outputs: Sequence[Sequence[Array]], *, classes: bool
) -> Sketch | None:
    """Return the sketch of calibration samples; None of fewer than ``LEAST_SAMPLES``.

    Args:
        inputs, outputs: for every sample one array each, in the model's own types.
        classes: whether the first output holds one score a class.
    """
    if len(inputs) < LEAST_SAMPLES:
        return None
    largest = max(range(len(inputs[0])), key=lambda k: inputs[0][k].size)
    watched = _watched(largest, [s[largest] for s in inputs])
    answers = _watched(0, [s[0] for s in outputs])
    if classes:
        size = outputs[0][0].size
        groups = min(size, GROUPS)
        found = np.bincount([group_of(s[0], groups) for s in outputs], minlength=groups)
        said: tuple[Histogram, ...] = (Histogram((), tuple(found.tolist())),)
    else:
        said = _binned([answers.statistics(s) for s in outputs])
    kind = "classes" if classes else "values"
    return Sketch(len(inputs), watched, _binned([watched.statistics(s) for s in inputs]), kind, answers, said)


def _watched(index: int, arrays: Sequence[Array]) -> Tensor:
    first, low, step = arrays[0], 0.0, 0.0
    if first.dtype not in (np.int8, np.uint8, np.int16):
        low = float(min(a.min() for a in arrays))
        step = (float(max(a.max() for a in arrays)) - low) / 255 or 1.0
    return Tensor(index, first.size, stride_of(first.shape), low, step)


def _binned(numbers: Sequence[tuple[int, ...]]) -> tuple[Histogram, ...]:
    """Return one histogram a statistic, each with as many samples in a bin as in another where values allow."""
    found = []
    for column in np.array(numbers, np.int64).T:
        ordered = np.sort(column)
        edges = tuple(int(ordered[len(ordered) * k // BINS]) for k in range(1, BINS))
        counts = np.bincount(np.searchsorted(edges, column, side="right"), minlength=BINS)
        found.append(Histogram(edges, tuple(counts.tolist())))
    return tuple(found)


def _tensor_json(tensor: Tensor) -> dict[str, Any]:
    return dict(tensor._asdict())


def _histogram_json(histogram: Histogram) -> dict[str, Any]:
    return {"edges": list(histogram.edges), "counts": list(histogram.counts)}


def _tensor(entry: Field) -> Tensor:
    entry.object(("number", "elements", "stride", "low", "step"))
    return Tensor(
        entry["number"].integer(0, 1 << 16),
        entry["elements"].integer(1, 1 << 31),
        entry["stride"].integer(1, 1 << 31),
        entry["low"].number(),
        entry["step"].number(0),
    )


def _histograms(entry: Field, count: int) -> tuple[Histogram, ...]:
    found = []
    for one in entry.items():
        one.object(("edges", "counts"))
        edges = tuple(e.integer(0, (1 << 32) - 1) for e in one["edges"].items())
        counts = tuple(c.integer(0, 1 << 31) for c in one["counts"].items())
        if len(edges) != BINS - 1 or len(counts) != BINS or list(edges) != sorted(edges):
            raise one.fail(f"{BINS - 1} rising edges and {BINS} counts")
        found.append(Histogram(edges, counts))
    if len(found) != count:
        raise entry.fail(f"{count} histograms")
    return tuple(found)


def _groups(entry: Field) -> tuple[Histogram, ...]:
    found = [
        tuple(c.integer(0, 1 << 31) for c in one.object(("counts", "edges"))["counts"].items())
        for one in entry.items()
    ]
    if len(found) != 1 or not 2 <= len(found[0]) <= GROUPS:
        raise entry.fail(f"one histogram of 2 to {GROUPS} groups")
    return (Histogram((), found[0]),)
