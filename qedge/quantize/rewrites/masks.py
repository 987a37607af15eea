"""Masks of attention: huge negative numbers ahead of a softmax, brought to the size that the scores need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from qedge.datasets.protocol import Dataset
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.quantize.interpreter import Runner

HUGE = -1000.0  # no score is as low: what is, masks
CLEAR = 16.0  # how far what is masked stays under all scores: e^-16 of the least of them
SAMPLES = 16
_MOVES = frozenset(
    {
        "RESHAPE",
        "TRANSPOSE",
        "BROADCAST_TO",
        "EXPAND_DIMS",
        "SQUEEZE",
        "SLICE",
        "STRIDED_SLICE",
        "CAST",
        "PACK",
    }
    | {"ADD", "SUB", "MUL", "SELECT", "SELECT_V2", "CONCATENATION", "TILE"}
)
"""What may lie between the constant of a mask and its softmax."""


@dataclass(frozen=True)
class _Masked:
    """A softmax with constants ahead of it that mask.

    Args:
        read: what it reads.
        operators: those between, by index.
        constants: tensors with huge negative values.
    """

    read: int
    operators: frozenset[int]
    constants: frozenset[int]


def bound_masks(float_model: bytes, dataset: Dataset) -> bytes:
    """Return the model with huge negative constants that only mask a softmax made as low as its scores need.

    -1e9 and minus infinity leave no step of an 8-bit range for the scores themselves. ``CLEAR`` under the lowest
    score that samples show is as good as either: the softmax gives less than 1e-7 of the least score there is.

    Args:
        float_model: a float ``.tflite``.
        dataset: samples that show how far the scores go.
    """
    graph = Graph.from_bytes(float_model)
    found = list(_masked(graph))
    if not found or not len(dataset):
        return float_model
    lowest = _lowest(float_model, {m.read for m in found}, dataset)
    values: dict[int, float] = {}
    for masked in found:
        for t in masked.constants:
            values[t] = min(values.get(t, 0.0), lowest[masked.read])
    editor = Editor.from_bytes(float_model)
    for t, value in values.items():
        data = graph.tensors[t].data
        assert data is not None
        editor.set_constant(t, np.where(data <= HUGE, np.float32(value), data).astype(np.float32))
    return editor.pack()


def _masked(graph: Graph) -> Iterator[_Masked]:
    """Yield every softmax that constants mask, where they and all on the way lead to masked softmaxes alone."""
    ends = [op for op in graph.operators if op.op == "SOFTMAX"]
    ways = {op.index: _way(graph, op.inputs[0]) for op in ends}
    inside = {k for way, _ in ways.values() for k in way} | {op.index for op in ends}
    for op in ends:
        way, constants = ways[op.index]
        alone = {t for t in constants if all(reader.index in inside for reader in graph.consumers[t])}
        if alone and not any(t in graph.outputs for k in way for t in graph.operators[k].outputs):
            yield _Masked(op.inputs[0], frozenset(way), frozenset(alone))


def _way(graph: Graph, tensor: int) -> tuple[set[int], set[int]]:
    """Return the operators ahead of a tensor that only move, add or choose, and the huge constants that they read."""
    operators: set[int] = set()
    constants: set[int] = set()
    waiting = [tensor]
    while waiting:
        t = waiting.pop()
        held, maker = graph.tensors[t], graph.producer.get(t)
        if held.data is not None and held.dtype == "float32" and held.data.size and held.data.min() <= HUGE:
            constants.add(t)
        elif maker is not None and maker.op in _MOVES and maker.index not in operators:
            operators.add(maker.index)
            waiting += [s for s in maker.inputs if s >= 0]
    return operators, constants


def _lowest(float_model: bytes, tensors: set[int], dataset: Dataset) -> Mapping[int, float]:
    """Return for what each softmax reads how low a mask must be: added to a score, or in its place."""
    runner = Runner(float_model, keep_all=True)
    low, high = (dict.fromkeys(tensors, 0.0) for _ in range(2))
    for k in range(min(SAMPLES, len(dataset))):
        runner.run([np.asarray(v) for v in dataset[k]])
        for t in tensors:
            scores = runner.read(t)
            real = scores[scores > HUGE / 2]
            if real.size:
                low[t], high[t] = min(low[t], float(real.min())), max(high[t], float(real.max()))
    return {t: min(low[t] - high[t], low[t]) - CLEAR for t in tensors}
