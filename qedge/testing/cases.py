"""Case tables of operators: what is tested, apart from where it runs.

A table is a list of :class:`Case`. :func:`merge` puts a whole table into one model, each case with inputs
and outputs of its own, so that an executor compiles and starts once for a table; :func:`samples` gives the
inputs of consecutive runs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Tensor
from qedge.testing.opmodels import ModelBuilder, Spec, SubgraphBuilder

RUNS = 5
"""Runs of every table: random values, values near the zero point, the two ends of the range, one end, the other."""


@dataclass(frozen=True, eq=False)
class Case:
    """One use of an operator.

    Args:
        name: unique in its table; says what is special.
        op: TFLite's name of the operator.
        inputs: specs in the operator's order, see :func:`qedge.testing.opmodels.single_op`.
        outputs: specs of the outputs.
        options: builtin options in snake case.
        intermediates: specs of an LSTM's inner tensors.
        build: adds several operators instead; it declares inputs and outputs itself.
        oracle_inputs: inputs for the oracle, where it refuses ``inputs`` though their meaning is clear.
        limits: smallest and largest value of the case's int8 inputs, where not every value is allowed.
    """

    name: str
    op: str
    inputs: Sequence[Spec | None] = ()
    outputs: Sequence[Spec] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    intermediates: Sequence[Spec] = ()
    build: Callable[[ModelBuilder, SubgraphBuilder], None] | None = None
    oracle_inputs: Sequence[Spec | None] | None = None
    limits: tuple[int, int] = (-128, 127)


@dataclass(frozen=True)
class Merged:
    """A table as one model.

    Args:
        data: the ``.tflite``.
        case_of: name of the case of each model output.
        oracle_inputs: inputs for the oracle, where it refuses ``inputs`` though their meaning is clear.
        limits: smallest and largest int8 value of each model input.
    """

    data: bytes
    case_of: tuple[str, ...]
    limits: tuple[tuple[int, int], ...]

    def samples(self, runs: int = RUNS) -> list[list[npt.NDArray[Any]]]:
        """Return deterministic inputs for consecutive runs, one array an input."""
        graph = Graph.from_bytes(self.data)
        found = samples(graph, runs)
        return [
            [np.clip(x, *limits) if x.dtype == np.int8 else x for x, limits in zip(row, self.limits)]
            for row in found
        ]


def merge(cases: Sequence[Case], *, for_oracle: bool = False) -> Merged:
    """Return one model with every case beside the others; ``for_oracle`` takes the ``oracle_inputs``."""
    builder = ModelBuilder()
    graph = builder.subgraph()
    case_of: list[str] = []
    limits: list[tuple[int, int]] = []
    seen: set[str] = set()
    for case in cases:
        if case.name in seen:
            raise ValueError(f"two cases are named {case.name!r}")
        seen.add(case.name)
        if case.build is not None:
            case.build(builder, graph)
        else:
            inputs = case.inputs if case.oracle_inputs is None or not for_oracle else case.oracle_inputs
            graph.add(case.op, inputs, case.outputs, case.options, intermediates=case.intermediates)
        case_of += [case.name] * (graph.output_count - len(case_of))
        limits += [case.limits] * (graph.input_count - len(limits))
    return Merged(builder.pack(), tuple(case_of), tuple(limits))


def samples(model: Graph, runs: int = RUNS) -> list[list[npt.NDArray[Any]]]:
    """Return deterministic inputs for ``runs`` consecutive runs, one array an input."""
    shapes = [(model.tensors[t].shape, model.tensors[t].dtype) for t in model.inputs]
    rng = np.random.default_rng(zlib.crc32(repr(shapes).encode()))
    return [[_values(rng, run, model.tensors[t]) for t in model.inputs] for run in range(runs)]


def _values(rng: np.random.Generator, run: int, tensor: Tensor) -> npt.NDArray[Any]:
    shape, kind = tensor.shape, run % RUNS
    if tensor.dtype == "float32":
        return rng.normal(0, (1, 0.1, 30, 1e-3, 1e4)[kind], shape).astype(np.float32)
    if tensor.dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    dtype = np.dtype(tensor.dtype)
    info = np.iinfo(dtype)
    if kind == 0:
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    if kind == 1:
        middle = 0 if tensor.quantization is None else int(tensor.quantization.zero_point[0])
        return np.clip(
            middle + rng.integers(-9, 9, shape, np.int64, endpoint=True), info.min, info.max
        ).astype(dtype)
    if kind == 2:
        return rng.choice(np.array([info.min, info.max], dtype), shape)
    return np.full(shape, info.min if kind == 3 else info.max, dtype)
