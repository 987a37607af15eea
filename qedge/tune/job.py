"""What is tuned: the grids that values lie on, as the child process gets them, and what it learned.

A grid is a scale and a zero point, told by the smallest and the largest value on it. Tensors that share one because a
kernel copies codes share the grid here too, and what is learned of it holds for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph
from qedge.quantize.affine import Affine
from qedge.quantize.plan import Plan, data_slots, weight_slots
from qedge.quantize.rules import RULES
from qedge.quantize.tables import find_tables

Array = npt.NDArray[Any]
MODEL, SAMPLES, START, SETTINGS = "model.tflite", "samples.npz", "start.npz", "job.json"


@dataclass(frozen=True)
class Grid:
    """An int8 grid of activations: 256 values from ``low`` to ``high``, zero among them."""

    low: float
    high: float
    learned: bool


@dataclass(frozen=True)
class WeightGrid:
    """A symmetric grid of weights, codes in [-steps, steps], one scale for all or one for each index of ``axis``."""

    axis: int
    steps: int


@dataclass(frozen=True)
class Settings:
    """How long and how fast is learned.

    Args:
        seconds: time for all of it, the start of TensorFlow included.
        steps: of gradient descent at most.
        batch: samples a step.
        seed: of the order of samples.
        threads: of TensorFlow.
        rate: of the weights, of their root mean square a step.
        scale_rate: of the weights' scales, as a share of them.
        range_rate: of the ranges of activations, as a share of the larger end.
        layers: weight of the layers' own outputs beside the model's.
        labels: weight of the labels, where there are any.
    """

    seconds: float = 300.0
    steps: int = 600
    batch: int = 32
    seed: int = 0
    threads: int = 2
    rate: float = 3e-3
    scale_rate: float = 1e-3
    range_rate: float = 5e-3
    layers: float = 1.0
    labels: float = 0.0


@dataclass(frozen=True)
class Job:
    """A student.

    Args:
        grids: all grids of activations.
        written: grid that a tensor is written on, by tensor; others stay real numbers.
        read: grid that an operator reads at (operator, slot), where that is another one than the producer's.
        weights: grids of weights, by tensor; their scales are among what is learned.
        biases: tensors of biases that are learned.
        settings: of the learning.
    """

    grids: tuple[Grid, ...]
    written: Mapping[int, int]
    read: Mapping[tuple[int, int], int]
    weights: Mapping[int, WeightGrid]
    biases: tuple[int, ...]
    settings: Settings = field(default_factory=Settings)

    def dump(self) -> str:
        """Return the job as JSON."""
        parts = asdict(self)
        parts["read"] = [[*place, grid] for place, grid in self.read.items()]
        return json.dumps(parts)

    @classmethod
    def load(cls, text: str) -> Job:
        """Return the job that :meth:`dump` wrote."""
        parts = json.loads(text)
        return cls(
            tuple(Grid(**g) for g in parts["grids"]),
            {int(t): g for t, g in parts["written"].items()},
            {(op, slot): g for op, slot, g in parts["read"]},
            {int(t): WeightGrid(**g) for t, g in parts["weights"].items()},
            tuple(parts["biases"]),
            Settings(**parts["settings"]),
        )


@dataclass(frozen=True)
class Start:
    """Where learning starts, and in the same form what it learned.

    Args:
        weights: real numbers, by tensor.
        scales: of the weights' grids, by tensor.
        biases: real numbers, by tensor.
        ranges: (low, high) of each grid, (grids, 2).
    """

    weights: Mapping[int, Array]
    scales: Mapping[int, Array]
    biases: Mapping[int, Array]
    ranges: Array

    def save(self, path: Path) -> None:
        """Write all arrays into one ``.npz``."""
        arrays: dict[str, Any] = {"ranges": self.ranges}
        for name in ("weights", "scales", "biases"):
            arrays |= {f"{name}_{t}": a for t, a in getattr(self, name).items()}
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> Start:
        """Return what :meth:`save` wrote."""
        found: dict[str, dict[int, Array]] = {"weights": {}, "scales": {}, "biases": {}}
        with np.load(path) as stored:
            for key in stored.files:
                name, _, tensor = key.partition("_")
                if tensor:
                    found[name][int(tensor)] = stored[key]
            return cls(ranges=stored["ranges"], **found)


def job_of(graph: Graph, plan: Plan, settings: Settings) -> Job:
    """Return the student of a plan: its int8 grids, those that a kernel fixes held."""
    grids: list[Grid] = []
    index: dict[int, int] = {}
    fixed = {
        id(plan.tensors[t])
        for op in graph.operators
        if plan.modes[op.index] == "int8" and RULES[op.op].kind == "fixed"
        for t in op.outputs
        if t in plan.tensors
    }
    weights, biases = _layers(graph, plan)
    # Within a function that becomes a table nothing is quantised but its ends.
    inside = {t for op in graph.operators if plan.modes[op.index] == "table" for t in op.outputs}
    inside -= {table.result for table in find_tables(graph)}

    def grid(affine: Affine, learned: bool) -> int:
        if id(affine) not in index:
            index[id(affine)] = len(grids)
            grids.append(Grid(*bounds(affine), learned and id(affine) not in fixed))
        return index[id(affine)]

    written = {
        t: grid(affine, True)
        for t, affine in plan.tensors.items()
        if affine.dtype == "int8"
        and t not in weights
        and t not in inside
        and graph.tensors[t].dtype == "float32"
    }
    read = {place: grid(affine, False) for place, affine in plan.wanted.items() if affine.dtype == "int8"}
    return Job(tuple(grids), written, read, weights, biases, settings)


def bounds(affine: Affine) -> tuple[float, float]:
    """Return the smallest and the largest value on an int8 grid."""
    scale = affine.scale[0]
    return (-128 - affine.zero_point) * scale, (127 - affine.zero_point) * scale


def _layers(graph: Graph, plan: Plan) -> tuple[dict[int, WeightGrid], tuple[int, ...]]:
    weights: dict[int, WeightGrid] = {}
    biases: dict[int, None] = {}
    for op in graph.operators:
        if plan.modes[op.index] not in ("int8", "int16") or RULES[op.op].kind != "weights":
            continue
        weight, bias = weight_slots(graph, op)
        affine = plan.tensors[weight]
        weights[weight] = WeightGrid(affine.axis, 7 if affine.dtype == "int4" else 127)
        if bias >= 0:
            biases[bias] = None
    return weights, tuple(biases)


def start_of(
    graph: Graph, plan: Plan, job: Job, codes: Mapping[int, Array], biases: Mapping[int, Array]
) -> Start:
    """Return where a student starts: at the codes and biases of its plan, or at the float model's own numbers."""

    def real(t: int) -> Array:
        return plan.tensors[t].real(codes[t]) if t in codes else _data(graph, t)

    return Start(
        {t: real(t) for t in job.weights},
        {t: np.asarray(plan.tensors[t].scale, np.float32) for t in job.weights},
        {t: np.asarray(biases.get(t, _data(graph, t)), np.float32) for t in job.biases},
        np.array([(g.low, g.high) for g in job.grids], np.float32).reshape(-1, 2),
    )


def _data(graph: Graph, t: int) -> Array:
    data = graph.tensors[t].data
    assert data is not None
    return np.asarray(data, np.float32)


def write_samples(path: Path, samples: Sequence[Sequence[Array]], held: Sequence[int], labels: Array) -> None:
    """Write samples (one array an input each) as the child reads them.

    Args:
        held: positions of those that are not learned from.
        labels: class indices, -1 where there is none.
    """
    inputs = {f"x{k}": np.stack([s[k] for s in samples]) for k in range(len(samples[0]))}
    np.savez(path, held=np.asarray(held, np.int64), labels=labels, **inputs)  # type: ignore[arg-type]


def learnable(graph: Graph) -> bool:
    """Whether a model has anything to learn: a layer whose weights are constant."""
    return any(
        RULES[op.op].kind == "weights" and bool(data_slots(graph, op))
        for op in graph.operators
        if op.op in RULES
    )
