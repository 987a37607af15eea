"""Golden vectors: a few real inputs of a model with the outputs that its oracle gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets import Dataset
from qedge.errors import ModelError
from qedge.graph import Graph
from qedge.processing.affine import INPUTS_KEY, apply_steps, steps_in
from qedge.quantmath import quantize
from qedge.runtime.litert import open_engine, tensor_specs

Samples = list[list[npt.NDArray[Any]]]


def golden_samples(graph: Graph, dataset: Dataset | None, count: int) -> Samples:
    """Return ``count`` inputs in the model's own types, evenly from the dataset, or seeded noise without one."""
    samples: Samples = []
    if dataset is not None and len(dataset):
        steps = steps_in(graph.metadata.get(INPUTS_KEY, b""))
        indices = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
        for i in indices:
            values = apply_steps([steps.get(k) for k in range(len(graph.inputs))], dataset[int(i)])
            samples.append([_as_input(graph, t, v) for t, v in zip(graph.inputs, values)])
        return samples
    rng = np.random.default_rng(0)
    for _ in range(count):
        samples.append([_noise(graph, t, rng) for t in graph.inputs])
    return samples


def _as_input(graph: Graph, index: int, values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    tensor = graph.tensors[index]
    if tensor.dtype == "float32":
        return values.reshape(tensor.shape)
    if tensor.quantization is None:
        return values.astype(tensor.dtype).reshape(tensor.shape)
    scale, zero_point = tensor.quantization.scalar
    return quantize(values, scale, zero_point, tensor.dtype).reshape(tensor.shape)


def _noise(graph: Graph, index: int, rng: np.random.Generator) -> npt.NDArray[Any]:
    tensor = graph.tensors[index]
    if tensor.dtype == "float32":
        return rng.standard_normal(tensor.shape).astype(np.float32)
    if tensor.dtype not in ("int8", "uint8", "int16", "int32"):
        raise ModelError(f"input {tensor.name!r} is {tensor.dtype}, expected an integer or float type")
    rows = _rows(graph, index) if tensor.dtype == "int32" else None
    if rows is not None:
        return rng.integers(0, rows, tensor.shape).astype(tensor.dtype)
    info = np.iinfo(tensor.dtype) if tensor.dtype != "int32" else np.iinfo(np.int8)
    return rng.integers(info.min, info.max, tensor.shape, dtype=np.int64, endpoint=True).astype(tensor.dtype)


def _rows(graph: Graph, index: int) -> int | None:
    """Return how many rows the smallest table has that an input's integers are places of; None where it has none."""
    found, known, pending = [], {index}, [index]
    while pending:
        tensor = pending.pop()
        for op in graph.consumers[tensor]:
            table, places = _TABLES.get(op.op, (None, None))
            if table is not None and places is not None and op.inputs[places] == tensor:
                found.append(graph.tensors[op.inputs[table]].shape[int(op.options.get("axis", 0))])
            further = {t for t in op.outputs if graph.tensors[t].dtype == "int32"} - known
            known |= further
            pending += further
    return min(found, default=None)


_TABLES = {"GATHER": (0, 1), "EMBEDDING_LOOKUP": (1, 0)}
"""Which input of an operator is a table, and which the places in it."""


def reference_outputs(model: bytes, samples: Sequence[Sequence[npt.NDArray[Any]]]) -> Samples:
    """Return what LiteRT on this machine gives for the samples, in the model's own types."""
    inputs, outputs = tensor_specs(model)
    engine = open_engine(model, inputs, outputs, threads=1)
    try:
        return [[np.array(o) for o in engine.run(list(s))] for s in samples]
    finally:
        engine.close()
